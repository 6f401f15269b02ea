//! A curve: how something grows with the number of records in a home. Both axes are logarithmic.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::samples::{grouped, number};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 45.0;
const COLOURS: [&str; 4] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd"];

#[derive(Debug, Serialize, Deserialize)]
pub struct Curve {
    pub title: String,
    /// What the upright axis counts.
    pub unit: String,
    pub lines: Vec<Line>,
}

/// The points of one line: records, value.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A logarithmic axis from `low` to `high`, drawn from `start` to `end`.
struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn around(values: impl Iterator<Item = f64> + Clone, start: f64, end: f64) -> Axis {
        let low = values.clone().fold(f64::INFINITY, f64::min).max(1e-6).log10().floor();
        let high = values.fold(1e-6, f64::max).log10().ceil();
        Axis { low, high: high.max(low + 1.0), start, end }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.max(1e-6).log10() - self.low) / (self.high - self.low);
        self.start + share * (self.end - self.start)
    }

    fn decades(&self) -> impl Iterator<Item = f64> + use<> {
        (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power))
    }
}

impl Curve {
    /// The name of its file.
    pub fn file(&self) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        format!("{}.svg", self.title.chars().map(letter).collect::<String>())
    }

    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Axis::around(points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let y = Axis::around(points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        text(&mut svg, LEFT, 22.0, "start", &format!("{}: {}", self.title, self.unit));
        for value in x.decades() {
            rule(&mut svg, (x.at(value), y.start), (x.at(value), y.end), "#ddd");
            text(&mut svg, x.at(value), HEIGHT - BOTTOM + 18.0, "middle", &grouped(value as i64));
        }
        for value in y.decades() {
            rule(&mut svg, (x.start, y.at(value)), (x.end, y.at(value)), "#ddd");
            text(&mut svg, LEFT - 6.0, y.at(value) + 4.0, "end", &number(value));
        }
        text(&mut svg, (x.start + x.end) / 2.0, HEIGHT - 8.0, "middle", "records in the home");
        for (place, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            for pair in line.points.windows(2) {
                rule(&mut svg, (x.at(pair[0].0), y.at(pair[0].1)), (x.at(pair[1].0), y.at(pair[1].1)), colour);
            }
            for (records, value) in &line.points {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                    x.at(*records),
                    y.at(*value)
                );
            }
            let height = TOP + 10.0 + 18.0 * place as f64;
            rule(&mut svg, (x.end + 12.0, height), (x.end + 30.0, height), colour);
            text(&mut svg, x.end + 36.0, height + 4.0, "start", &line.name);
        }
        svg + "</svg>\n"
    }
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}
