//! Line charts and stacked bar charts as SVG. They are readable in light mode, in dark mode, on
//! paper, and for colour-blind readers.
//!
//! Legends are HTML and not part of the SVG, so that they wrap and can be selected.

use std::{fmt, ops::Range};

use plotters::{
    coord::{
        Shift,
        ranged1d::{BoldPoints, KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
        types::RangedCoordf64,
    },
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::page::text::{Text, shortened};

/// Twice the width at which a figure is shown, because positions are whole numbers.
const WIDTH: u32 = 1920;
const LINES_HEIGHT: u32 = 740;
const FONT: &str = "system-ui, sans-serif";
const FONT_SIZE: f64 = 32.0;
/// The colour of text. The style sheet replaces it with the text colour of the page.
const INK: RGBColor = RGBColor(0x44, 0x44, 0x44);
const GRID: RGBColor = RGBColor(0x88, 0x88, 0x88);

/// A colour, and the colour of text on it.
type Colors = (RGBColor, RGBColor);

/// Colours of lines. Colour-blind readers can distinguish them, on white and on black.
const LINES: &[Colors] = &[
    (RGBColor(0x00, 0x72, 0xB2), WHITE),
    (RGBColor(0xE6, 0x9F, 0x00), BLACK),
    (RGBColor(0x00, 0x9E, 0x73), BLACK),
    (RGBColor(0xCC, 0x79, 0xA7), BLACK),
    (RGBColor(0xD5, 0x5E, 0x00), WHITE),
    (RGBColor(0x56, 0xB4, 0xE9), BLACK),
    (RGBColor(0x80, 0x80, 0x80), WHITE),
];
/// Colours of parts of bars. They differ from the colours of lines, so that a service does not look
/// like a contestant, and they differ in lightness.
const PARTS: &[Colors] = &[
    (RGBColor(0x5B, 0x5F, 0x97), WHITE),
    (RGBColor(0xF2, 0xC1, 0x4E), BLACK),
    (RGBColor(0x8F, 0xB8, 0xB2), BLACK),
    (RGBColor(0xA3, 0x4F, 0x6B), WHITE),
    (RGBColor(0xB0, 0xB0, 0xB0), BLACK),
];

const fn of(colors: &[Colors], index: usize) -> Colors {
    colors[index % colors.len()]
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;
type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The symbol of a contestant or of a part of a bar.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// A contestant: its colour, and its number, because colours repeat.
    Line(usize),
    /// A part of a bar: its colour.
    Part(usize),
}

impl Mark {
    const fn colors(self) -> Colors {
        match self {
            Self::Line(index) => of(LINES, index),
            Self::Part(index) => of(PARTS, index),
        }
    }

    /// Returns the text in the symbol.
    fn number(self) -> String {
        match self {
            Self::Line(index) => (index + 1).to_string(),
            Self::Part(_) => String::new(),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (RGBColor(r, g, b), RGBColor(ink, ..)) = self.colors();
        let class = match self {
            Self::Line(_) => "mark",
            Self::Part(_) => "mark part",
        };
        let style = format!("background:#{r:02x}{g:02x}{b:02x};color:#{ink:02x}{ink:02x}{ink:02x}");
        write!(f, "<span class=\"{class}\" style=\"{style}\">{}</span>", self.number())
    }
}

/// An axis of a figure: its range, and its ticks with their labels.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    range: Range<f64>,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Returns an axis from 0 to a little more than the largest value.
    pub(super) fn linear(values: impl Iterator<Item = f64>, format_value: impl Fn(f64) -> String) -> Self {
        let max = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let range = 0.0..if max > 0.0 { max * 1.05 } else { 1.0 };
        let points = RangedCoordf64::from(range.clone()).key_points(BoldPoints(8));
        Self { ticks: points.into_iter().map(|at| (at, format_value(at))).collect(), range }
    }

    /// Returns an axis with a tick at each whole number, such as powers of ten or numbers of nines.
    pub(super) fn steps(steps: Range<i32>, format_value: impl Fn(i32) -> String) -> Self {
        let Range { start, end } = steps;
        let ticks = (start..=end).map(|step| (f64::from(step), format_value(step))).collect();
        Self { range: f64::from(start)..f64::from(end), ticks }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range.clone()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Light points are grid lines without labels.
        let is_light = hint.weight().allow_light_points();
        self.ticks.iter().filter(|_| !is_light).map(|(at, _)| *at).collect()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, at: &f64) -> String {
        self.ticks.iter().find(|(tick, _)| tick == at).map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

/// A line. Its points are finite, and sorted by `x`.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) mark: Mark,
    pub(super) points: Vec<(f64, f64)>,
}

/// Returns a line chart. `level` is a horizontal line for comparison.
pub(super) fn lines(x: &Axis, y: &Axis, lines: &[Line], level: Option<f64>) -> String {
    svg(LINES_HEIGHT, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(70)
            .x_label_area_size(48)
            .y_label_area_size(150)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.mix(0.35))
            .axis_style(GRID.stroke_width(2))
            .label_style((FONT, FONT_SIZE).into_font().color(&INK))
            .draw()?;
        if let Some(level) = level {
            let ends = [x.range.start, x.range.end].map(|x| (x, level));
            chart.draw_series(DashedLineSeries::new(ends, 16, 12, GRID.stroke_width(4)))?;
        }
        for Line { mark, points } in lines {
            chart.draw_series(LineSeries::new(points.iter().copied(), mark.colors().0.stroke_width(5)))?;
        }
        // After the lines, so that no line hides a label. Each label has another position, because
        // lines meet at their ends.
        for (index, Line { mark, points }) in lines.iter().enumerate() {
            let share = (index as f64 + 0.5) / lines.len() as f64;
            let Some(at) = points.get((points.len() as f64 * share) as usize) else { continue };
            let at = chart.backend_coord(at);
            label(root, *mark, at)?;
        }
        Ok(())
    })
}

/// Draws the number of a line in its colour.
fn label(root: &Root<'_>, mark: Mark, at: (i32, i32)) -> Drawn {
    let (fill, ink) = mark.colors();
    root.draw(&Circle::new(at, 20, fill.filled()))?;
    let style = (FONT, 28.0, FontStyle::Bold).into_font().color(&ink).pos(Pos::new(HPos::Center, VPos::Center));
    root.draw(&plotters::element::Text::new(mark.number(), at, style))
}

/// A bar of parts with their marks. Each part is finite and not negative.
#[derive(Clone, Debug)]
pub(super) struct Bar<'a> {
    pub(super) name: &'a str,
    /// The text after its end.
    pub(super) total: String,
    pub(super) parts: Vec<(Mark, f64)>,
}

impl Bar<'_> {
    fn sum(&self) -> f64 {
        self.parts.iter().map(|(_, part)| part).sum()
    }
}

const BAR_HEIGHT: i32 = 44;
const BAR_EVERY: i32 = 66;
const BAR_LEFT: i32 = 520;
/// The length of the longest bar.
const BAR_ROOM: f64 = 1180.0;
/// The width from which a part has its value written in it.
const PART_LABEL_MIN: i32 = 110;

/// Returns a chart of horizontal bars. `format_value` formats the values of their parts.
pub(super) fn bars(bars: &[Bar<'_>], format_value: impl Fn(f64) -> String) -> String {
    let height = u32::try_from(bars.len()).unwrap_or(u32::MAX).saturating_mul(BAR_EVERY.unsigned_abs()) + 20;
    let longest = bars.iter().map(Bar::sum).fold(0.0, f64::max);
    let scale = if longest > 0.0 { BAR_ROOM / longest } else { 0.0 };
    let style = |size: f64, ink: &RGBColor, h| (FONT, size).into_font().color(ink).pos(Pos::new(h, VPos::Center));
    let write = |root: &Root<'_>, text: String, at, style| root.draw(&plotters::element::Text::new(text, at, style));
    svg(height, |root| {
        for (bar, row) in bars.iter().zip(0..) {
            let top = 10 + row * BAR_EVERY;
            let middle = top + BAR_HEIGHT / 2;
            let name = shortened(bar.name, 30);
            write(root, name, (BAR_LEFT - 20, middle), style(FONT_SIZE, &INK, HPos::Right))?;
            let mut begin = 0.0;
            for (mark, part) in &bar.parts {
                let (fill, ink) = mark.colors();
                let [left, right] = [begin, begin + part].map(|at| BAR_LEFT + (at * scale).round() as i32);
                begin += part;
                root.draw(&Rectangle::new([(left, top), (right, top + BAR_HEIGHT)], fill.filled()))?;
                if right - left >= PART_LABEL_MIN {
                    let at = (i32::midpoint(left, right), middle);
                    write(root, format_value(*part), at, style(28.0, &ink, HPos::Center))?;
                }
            }
            let end = BAR_LEFT + (begin * scale).round() as i32;
            write(root, bar.total.clone(), (end + 16, middle), style(FONT_SIZE, &INK, HPos::Left))?;
        }
        Ok(())
    })
}

/// Returns an image of fixed size, which the style sheet scales. If drawing fails, returns the
/// error as a paragraph.
fn svg(height: u32, draw: impl FnOnce(&Root<'_>) -> Drawn) -> String {
    let mut image = String::new();
    let root = SVGBackend::with_string(&mut image, (WIDTH, height)).into_drawing_area();
    let drawn = draw(&root).and_then(|()| root.present());
    drop(root);
    match drawn {
        Ok(()) => image,
        Err(error) => format!("<p>This figure could not be drawn: {}.</p>", Text(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_ends_after_its_largest_value() {
        let axis = Axis::linear([3.0, f64::NAN, f64::INFINITY, 100.0].into_iter(), |at| at.to_string());
        assert!((100.0..110.0).contains(&axis.range.end), "{axis:?}");
        assert_eq!(axis.format_ext(&20.0), "20");
        assert_eq!(Axis::linear([0.0].into_iter(), |at| at.to_string()).range, 0.0..1.0);
    }

    #[test]
    fn names_are_escaped_in_svg_images() {
        let bar = Bar { name: "<a & b>", total: "<1>".to_owned(), parts: vec![(Mark::Part(0), 1.0)] };
        let image = bars(&[bar], |part| format!("<{part}>"));
        assert!(
            image.contains("&lt;a &amp; b&gt;") && image.contains("&lt;1&gt;") && !image.contains("<a "),
            "{image}"
        );
    }
}
