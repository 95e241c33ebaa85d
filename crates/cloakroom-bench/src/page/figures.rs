//! The figures of the page, and their data.

use std::fmt;

use crate::{
    page::{
        figure::{self, Axis, Bar, Line, Mark},
        tables::{counted_as, dollars_in_all, services, spelled},
        text::{Text, count, decimal, dollars, number},
    },
    report::{Latency, Measured, Report},
};

/// A figure with its title and its legend.
struct Figure<'a> {
    title: &'a str,
    /// The caption with the axes and their units.
    axes: &'a str,
    image: String,
    legend: Vec<(Mark, &'a str)>,
}

impl fmt::Display for Figure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, axes, image, legend } = self;
        writeln!(
            f,
            "<section>\n<h2>{title}</h2>\n<figure>\n<figcaption>{axes}</figcaption>\n{image}\n<ul class=\"legend\">"
        )?;
        for (mark, name) in legend {
            writeln!(f, "<li>{mark} {}</li>", Text(name))?;
        }
        writeln!(f, "</ul>\n</figure>\n</section>")
    }
}

fn marks(measured: &[Measured]) -> Vec<(Mark, &str)> {
    measured.iter().enumerate().map(|(index, one)| (Mark::Line(index), one.contestant.as_str())).collect()
}

/// The throughput: messages that ended in each second.
pub(super) struct Throughput<'a>(pub(super) &'a Report);

impl fmt::Display for Throughput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { measured, workload, .. } = self.0;
        let lines: Vec<_> = measured
            .iter()
            .enumerate()
            .map(|(index, one)| Line { mark: Mark::Line(index), points: by_second(one) })
            .collect();
        let points = || lines.iter().flat_map(|line| line.points.iter().copied());
        let level = workload.rate_per_s.filter(|rate| rate.is_finite());
        let x = Axis::linear(points().map(|(x, _)| x), |at| format!("{} s", (at * 1_000.0).round() / 1_000.0));
        let y = Axis::linear(points().map(|(_, y)| y).chain(level), tick);
        let axes = "Messages that ended per second, by seconds since the first offer";
        let axes = if level.is_some() { format!("{axes}; dashed: the intended rate") } else { axes.to_owned() };
        let image = figure::lines(&x, &y, &lines, level);
        write!(f, "{}", Figure { title: "Throughput", axes: &axes, image, legend: marks(measured) })
    }
}

/// Formats the label of a tick, without unnecessary decimals.
fn tick(at: f64) -> String {
    if at.fract() == 0.0 { decimal(at, 0) } else { number(at) }
}

/// The maximum number of points in a line.
const POINTS_MAX: usize = 480;

/// Returns messages per second, each at the middle of the time that its point covers. The last
/// second is incomplete, so it is left out unless it is the only one.
fn by_second(one: &Measured) -> Vec<(f64, f64)> {
    let whole = one.ended_by_second.len().saturating_sub(1).max(1);
    let seconds = &one.ended_by_second[..whole.min(one.ended_by_second.len())];
    let width = seconds.len().div_ceil(POINTS_MAX).max(1);
    let points = seconds.chunks(width).zip(0u32..).map(|(chunk, index)| {
        let begin = f64::from(index) * width as f64;
        let ended: f64 = chunk.iter().map(|ended| *ended as f64).sum();
        (begin + chunk.len() as f64 / 2.0, ended / chunk.len() as f64)
    });
    points.collect()
}

/// The latency by percentile.
pub(super) struct Latencies<'a>(pub(super) &'a [Measured]);

impl fmt::Display for Latencies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = self.0;
        let mut lines: Vec<_> = measured
            .iter()
            .enumerate()
            .map(|(index, one)| Line { mark: Mark::Line(index), points: curve(&one.latency) })
            .collect();
        let points = || lines.iter().flat_map(|line| line.points.iter().copied());
        // The addend compensates rounding: the logarithm of three nines is a little less than 3.
        let nines = points().map(|(x, _)| x + 1e-6).filter(|x| x.is_finite()).fold(0.0, f64::max) as i32 + 1;
        let (low, high) = decades(points().map(|(_, y)| y));
        let x = Axis::steps(0..nines, |step| if step == nines { "all".to_owned() } else { percentile(step) });
        let y = Axis::steps(low..high, power);
        // The maximum is at the right end of the axis.
        lines.iter_mut().flat_map(|line| &mut line.points).for_each(|(x, _)| *x = x.min(f64::from(nines)));
        let axes = "Time from the intended offer to the end (logarithmic), by share of messages that took no longer";
        let image = figure::lines(&x, &y, &lines, None);
        write!(f, "{}", Figure { title: "Latency", axes, image, legend: marks(measured) })
    }
}

/// Returns the powers of ten around these logarithms.
fn decades(logarithms: impl Iterator<Item = f64>) -> (i32, i32) {
    let ends = logarithms
        .fold(None, |ends: Option<(f64, f64)>, y| Some(ends.map_or((y, y), |(low, high)| (low.min(y), high.max(y)))));
    // Without values, the axis is from a millisecond to a second.
    let (low, high) = ends.map_or((3, 6), |(low, high)| (low.floor() as i32, high.ceil() as i32));
    (low, high.max(low + 1))
}

/// Formats a power of ten, in microseconds.
fn power(exponent: i32) -> String {
    let (unit, exponent) = match exponent {
        ..3 => ("µs", exponent),
        3..6 => ("ms", exponent - 3),
        6.. => ("s", exponent - 6),
    };
    format!("{} {unit}", count(10u64.pow(exponent.unsigned_abs())))
}

/// Formats the percentile with this number of nines.
fn percentile(nines: i32) -> String {
    match nines {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        nines => format!("99.{} %", "9".repeat(nines.unsigned_abs() as usize - 2)),
    }
}

/// The maximum number of nines, except for the maximum latency.
const NINES_MAX: f64 = 6.0;
/// The maximum latency in a figure: eleven days, in microseconds.
const US_MAX: f64 = 1e12;

/// Returns the curve: x is the number of nines, and y is the logarithm of microseconds to base ten.
fn curve(latency: &Latency) -> Vec<(f64, f64)> {
    let Latency { p50_us, p90_us, p99_us, p999_us, max_us, curve } = latency;
    let corners = [(50.0, *p50_us), (90.0, *p90_us), (99.0, *p99_us), (99.9, *p999_us), (100.0, *max_us)];
    let known = if curve.is_empty() && *max_us > 0 { &corners[..] } else { curve };
    let nines = |percentile: f64| match percentile {
        100.0.. => f64::INFINITY,
        percentile => (-(1.0 - percentile.max(0.0) / 100.0).log10()).min(NINES_MAX),
    };
    let points = known.iter().filter(|(percentile, _)| percentile.is_finite());
    let mut points: Vec<_> =
        points.map(|(percentile, us)| (nines(*percentile), (*us as f64).clamp(1.0, US_MAX).log10())).collect();
    points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    points
}

/// The cost of a million messages, by service.
pub(super) struct Costs<'a>(pub(super) &'a Report);

impl fmt::Display for Costs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { measured, price_region, .. } = self.0;
        let services = services(measured);
        let legend: Vec<_> =
            services.iter().enumerate().map(|(index, service)| (Mark::Part(index), spelled(service))).collect();
        let bars = measured.iter().map(|one| {
            let parts = services.iter().enumerate().map(|(index, service)| {
                (Mark::Part(index), drawable(one.dollars_per_million.get(*service).copied().unwrap_or(0.0)))
            });
            Bar { name: &one.contestant, total: format!("${}", dollars(dollars_in_all(one))), parts: parts.collect() }
        });
        let image = figure::bars(&bars.collect::<Vec<_>>(), dollars);
        let axes = format!("Dollars per million messages by service, at the list prices of {}", Text(price_region));
        write!(f, "{}", Figure { title: "Cost", axes: &axes, image, legend })
    }
}

fn drawable(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// Duplicates and lost commits.
pub(super) struct Events<'a>(pub(super) &'a [Measured]);

impl fmt::Display for Events<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [("duplicate", "duplicates"), ("conflict", "conflicts")];
        let per_thousand = |one: &Measured, kind| drawable(counted_as(one, kind) as f64 * 1e3 / one.messages as f64);
        let bars = self.0.iter().map(|one| {
            let parts: Vec<_> = kinds
                .iter()
                .enumerate()
                .map(|(index, (kind, _))| (Mark::Part(index), per_thousand(one, *kind)))
                .collect();
            let total = parts.iter().map(|(_, part)| number(*part)).collect::<Vec<_>>().join(" + ");
            Bar { name: &one.contestant, total, parts }
        });
        let image = figure::bars(&bars.collect::<Vec<_>>(), number);
        let legend = kinds.iter().enumerate().map(|(index, (_, name))| (Mark::Part(index), *name)).collect();
        let axes = "Deliveries that were recognised as duplicates, and commits that were lost, per thousand messages";
        write!(f, "{}", Figure { title: "Duplicates and conflicts", axes, image, legend })
    }
}
