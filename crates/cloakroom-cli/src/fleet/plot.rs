//! Charts of the figures.

use std::collections::BTreeSet;

use cloakroom_sim::fleet::{Limit, Step};
use plotters::{
    coord::{
        Shift,
        ranged1d::{AsRangedCoord, Ranged, ValueFormatter},
    },
    prelude::{
        ChartBuilder, Circle, DashedLineSeries, DrawingArea, IntoDrawingArea as _, IntoFont as _, IntoLogRange as _,
        LineSeries, PathElement, RGBColor, SVGBackend, SeriesLabelPosition, WHITE,
    },
    style::Color as _,
};

use crate::{
    fleet::{Priced, Study},
    site::Failure,
};

const SIZE: (u32, u32) = (960, 540);
const FONT: &str = "sans-serif";

/// Colours that colour-blind readers can distinguish. Further lines use the same colours, dashed.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(80, 80, 80),
];

struct Picture<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    /// Whether the y axis is logarithmic.
    is_log: bool,
    lines: Vec<Line>,
}

struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Returns the file name and the SVG text of each chart.
pub(super) fn pictures(study: &Study) -> Result<Vec<(String, String)>, Failure> {
    let mut pictures = Vec::new();
    if !study.steps.is_empty() {
        let steps = &study.steps;
        pictures.push(("fleet-throughput.svg".to_owned(), throughput(steps).draw()?));
        pictures.push(("fleet-latency.svg".to_owned(), latency(steps).draw()?));
        pictures.push(("fleet-cost.svg".to_owned(), cost(steps).draw()?));
        for skew in skews(steps) {
            let title = format!("Use of each limit, {}", keys(skew));
            pictures.push((format!("fleet-limits-{skew}.svg"), limits(steps, skew, &title).draw()?));
        }
    }
    if !study.hot.is_empty() {
        pictures.push(("fleet-hot.svg".to_owned(), hot(study).draw()?));
    }
    Ok(pictures)
}

fn keys(skew: f64) -> String {
    if skew == 0.0 { "even keys".to_owned() } else { format!("Zipf {skew}") }
}

/// Returns the values of `--skew`, in the order of the command line.
fn skews(steps: &[Priced]) -> Vec<f64> {
    let mut skews: Vec<f64> = steps.iter().map(|priced| priced.step.skew).collect();
    skews.dedup();
    skews
}

fn line(steps: &[Priced], skew: f64, name: String, value: impl Fn(&Priced) -> f64) -> Line {
    let of_skew = steps.iter().filter(|priced| priced.step.skew == skew);
    Line { name, points: of_skew.map(|priced| (priced.step.offered_per_s, value(priced))).collect() }
}

fn throughput(steps: &[Priced]) -> Picture<'static> {
    let lines = skews(steps).into_iter().map(|skew| line(steps, skew, keys(skew), |priced| priced.step.reached_per_s));
    let as_offered = line(steps, skews(steps)[0], "as offered".to_owned(), |priced| priced.step.offered_per_s);
    let lines = std::iter::once(as_offered).chain(lines).collect();
    Picture {
        title: "Throughput",
        x: "messages offered per second",
        y: "messages processed per second",
        is_log: true,
        lines,
    }
}

fn latency(steps: &[Priced]) -> Picture<'static> {
    let of_skew = |skew: f64| {
        let of = |share: &str, value: fn(&Step) -> u64| {
            line(steps, skew, format!("{share}, {}", keys(skew)), move |priced| value(&priced.step).max(1) as f64)
        };
        [of("p50", |step| step.latency_p50_ms), of("p99", |step| step.latency_p99_ms)]
    };
    let lines = skews(steps).into_iter().flat_map(of_skew).collect();
    let title = "Latency, from offer to acknowledgement";
    Picture { title, x: "messages offered per second", y: "milliseconds", is_log: true, lines }
}

fn cost(steps: &[Priced]) -> Picture<'static> {
    let lines = skews(steps).into_iter();
    let lines = lines.map(|skew| line(steps, skew, keys(skew), |priced| priced.dollars_per_million)).collect();
    Picture {
        title: "Cost of a million messages",
        x: "messages offered per second",
        y: "dollars",
        is_log: false,
        lines,
    }
}

fn limits<'a>(steps: &[Priced], skew: f64, title: &'a str) -> Picture<'a> {
    let used = |limit: &Limit| steps.iter().any(|priced| priced.step.utilisation.contains_key(limit));
    let of = |limit: Limit| {
        let value = move |priced: &Priced| 100.0 * priced.step.utilisation.get(&limit).copied().unwrap_or_default();
        line(steps, skew, limit.to_string(), value)
    };
    let lines = Limit::ALL.into_iter().filter(used).map(of).collect();
    Picture { title, x: "messages offered per second", y: "per cent used", is_log: false, lines }
}

fn hot(study: &Study) -> Picture<'static> {
    let lines = study.hot.iter().map(|hot| {
        let steps = hot.ladder.kept_up.iter().chain(&hot.ladder.too_much);
        let points = steps.map(|step| (step.offered_per_s, step.reached_per_s.max(1.0))).collect();
        Line { name: format!("{}, {} per commit", hot.deployment, hot.fold_max), points }
    });
    let (x, y) = ("messages offered per second", "messages processed per second");
    Picture { title: "A single entity at rising rates", x, y, is_log: true, lines: lines.collect() }
}

impl Picture<'_> {
    fn draw(&self) -> Result<String, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(format!("`{}` cannot be drawn: {error}", self.title));
        let ys = self.lines.iter().flat_map(|line| line.points.iter().map(|(_, y)| *y));
        let (low, high) = ys.fold((f64::MAX, 0.0_f64), |(low, high), y| (low.min(y), high.max(y)));
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE).map_err(|error| failed(&error))?;
            let painted = match self.is_log {
                true => self.paint(&area, (low / 1.5..high * 1.5).log_scale()),
                false => self.paint(&area, 0.0..(high * 1.15).max(0.1)),
            };
            painted.map_err(|error| failed(&error))?;
            area.present().map_err(|error| failed(&error))?;
        }
        Ok(svg)
    }

    fn paint<'s, Y>(
        &self,
        area: &DrawingArea<SVGBackend<'s>, Shift>,
        y: Y,
    ) -> Result<(), Box<dyn std::error::Error + 's>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let xs: BTreeSet<u64> = self.lines.iter().flat_map(|line| line.points.iter().map(|(x, _)| *x as u64)).collect();
        let (low, high) = (xs.first().copied().unwrap_or(1) as f64, xs.last().copied().unwrap_or(10) as f64);
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, 24).into_font())
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(84)
            // The factor leaves room for the legend on the right.
            .build_cartesian_2d((low / 1.2..high * 1.2 * (high / low).powf(0.4)).log_scale(), y)?;
        let number = |value: &f64| thousands(*value);
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(self.x)
            .y_desc(self.y)
            .label_style((FONT, 14))
            .x_label_formatter(&number)
            .y_label_formatter(&number);
        mesh.light_line_style(WHITE).draw()?;
        for (number, Line { name, points }) in self.lines.iter().enumerate() {
            let style = COLOURS[number % COLOURS.len()].stroke_width(2);
            let is_whole = number < COLOURS.len();
            let length = if is_whole { 18 } else { 6 };
            let key = move |(x, y)| PathElement::new([(x, y), (x + length, y)], style);
            match is_whole {
                true => chart.draw_series(LineSeries::new(points.iter().copied(), style))?,
                false => chart.draw_series(DashedLineSeries::new(points.iter().copied(), 5, 4, style))?,
            }
            .label(name.as_str())
            .legend(key);
            chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, style.filled())))?;
        }
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::MiddleRight).label_font((FONT, 13));
        legend.background_style(WHITE.mix(0.85)).border_style(RGBColor(200, 200, 200)).draw()?;
        Ok(())
    }
}

/// Formats a number with the suffix `k` or `M`, such as 30k and 1M, and at most two decimals.
fn thousands(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", round(value / 1e6)),
        value if value >= 1e3 => format!("{}k", round(value / 1e3)),
        value => round(value),
    }
}

fn round(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tick_labels_are_short() {
        let short = [0.0, 0.25, 3.0, 999.0, 1_000.0, 31_600.0, 1e6].map(thousands);
        assert_eq!(short, ["0", "0.25", "3", "999", "1k", "31.6k", "1M"]);
    }

    #[test]
    fn chart_has_its_lines_and_their_names() {
        let lines = vec![Line { name: "even keys".to_owned(), points: vec![(1_000.0, 990.0), (10_000.0, 9_900.0)] }];
        let picture = Picture { title: "Throughput", x: "offered", y: "reached", is_log: true, lines };
        let svg = picture.draw().unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("even keys") && svg.contains("<polyline"), "{svg}");
    }
}
