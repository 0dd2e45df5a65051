//! The run as a picture: rates over time above, latencies over time below. SVG, in black and colours on white.

use std::{error::Error, time::Duration};

use plotters::{
    coord::{Shift, ranged1d::Ranged},
    element::DashedPathElement,
    prelude::*,
};

use super::{
    schedule::Kind,
    series::{Row, RowOfKind},
    statistics::Latency,
};

/// Width and height, in pixels.
const SIZE: (u32, u32) = (1_000, 820);
/// Of the title.
const HEAD: u32 = 60;
/// Of the legend, right of each panel.
const LEGEND: u32 = 200;
const FONT: &str = "sans-serif";
/// A second is left out if less than this much of it was seen, in seconds.
const SHORTEST: f64 = 0.5;

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Figure<'a> {
    /// One line above all.
    pub title: &'a str,
    /// A second, smaller one.
    pub subtitle: &'a str,
    /// The seconds of the run.
    pub rows: &'a [Row],
    /// The part of them that is not measured.
    pub warm_up: Duration,
    /// Raw signatures per second, if they were measured.
    pub ceiling: Option<f64>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b, Y> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>;
type Drawn = Result<(), Box<dyn Error>>;
type Points = Vec<(f64, f64)>;
type Quantile = fn(&Latency) -> f64;

impl Figure<'_> {
    /// The picture.
    ///
    /// # Errors
    /// What the drawing library says.
    pub fn svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|error| error.to_string())?;
        Ok(svg)
    }

    fn draw(&self, svg: &mut String) -> Drawn {
        let whole = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        whole.fill(&WHITE)?;
        let (head, panels) = whole.split_vertically(HEAD);
        head.draw(&Text::new(self.title, (20, 12), (FONT, 22).into_font()))?;
        head.draw(&Text::new(self.subtitle, (20, 40), (FONT, 14).into_font()))?;
        let (above, below) = panels.split_vertically((SIZE.1 - HEAD) / 2);
        self.rates(&above)?;
        self.latencies(&below)?;
        Ok(whole.present()?)
    }

    /// Right answers per second, and the ceiling.
    fn rates(&self, area: &Area<'_>) -> Drawn {
        let (area, beside) = area.split_horizontally(SIZE.0 - LEGEND);
        let highest = self.whole_seconds().flat_map(Row::rates);
        let highest = highest.fold(self.ceiling.unwrap_or(1.0), f64::max) * 1.05;
        let mut chart = panel(&area).build_cartesian_2d(0.0..self.end(), 0.0..highest)?;
        chart
            .configure_mesh()
            .x_desc("seconds since the load began")
            .y_desc("answered per second")
            .x_label_formatter(&|seconds| format!("{seconds:.0}"))
            .y_label_formatter(&|rate| format!("{rate:.0}"))
            .label_style((FONT, 14))
            .light_line_style(WHITE)
            .draw()?;
        let mut legend = self.shade(&mut chart, 0.0, highest)?;
        if let Some(ceiling) = self.ceiling {
            let ends = vec![(0.0, ceiling), (self.end(), ceiling)];
            let mark = Mark::Dashes(BLACK.stroke_width(2));
            mark.draw(&mut chart, ends)?;
            legend.push((mark, format!("raw C_Sign loop, {ceiling:.0}/s")));
        }
        for kind in Kind::ALL {
            let mark = Mark::Line(colour(kind).stroke_width(2));
            let points = self.points(kind, |second, rate, _| Some((second, rate)));
            mark.draw_all(&mut chart, points)?;
            legend.push((mark, kind.rpc().to_owned()));
        }
        explain(&beside, &legend)
    }

    /// p50 and p99 of each kind, on a logarithmic scale.
    fn latencies(&self, area: &Area<'_>) -> Drawn {
        let (area, beside) = area.split_horizontally(SIZE.0 - LEGEND);
        let (low, high) = self.slowness();
        let mut chart =
            panel(&area).build_cartesian_2d(0.0..self.end(), (low..high).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("seconds since the load began")
            .y_desc("latency, milliseconds (logarithmic)")
            .x_label_formatter(&|seconds| format!("{seconds:.0}"))
            .y_label_formatter(&|latency| format!("{latency}"))
            .label_style((FONT, 14))
            .light_line_style(WHITE)
            .draw()?;
        let mut legend = self.shade(&mut chart, low, high)?;
        for kind in Kind::ALL {
            let style = colour(kind).stroke_width(2);
            let quantiles: [(Mark, &str, Quantile); 2] = [
                (Mark::Line(style), "p50", |latency| latency.p50),
                (Mark::Dashes(style), "p99", |latency| latency.p99),
            ];
            for (mark, name, quantile) in quantiles {
                let points = self.points(kind, |second, _, answers| {
                    Some((second, quantile(answers.latency.as_ref()?)))
                });
                mark.draw_all(&mut chart, points)?;
                legend.push((mark, format!("{} {name}", kind.rpc())));
            }
        }
        explain(&beside, &legend)
    }

    /// The bounds of all p50 and p99, with some room.
    fn slowness(&self) -> (f64, f64) {
        let kinds = self.whole_seconds().flat_map(|row| row.kinds);
        let latencies: Vec<Latency> = kinds.filter_map(|kind| kind.latency).collect();
        let highest = latencies
            .iter()
            .map(|latency| latency.p99)
            .fold(1.0, f64::max);
        let lowest = latencies
            .iter()
            .map(|latency| latency.p50)
            .fold(highest / 5.0, f64::min);
        ((lowest / 1.5).max(0.01), highest * 1.5)
    }

    /// The warm-up stands on grey.
    fn shade<Y: Ranged<ValueType = f64>>(
        &self,
        chart: &mut Chart<'_, '_, Y>,
        low: f64,
        high: f64,
    ) -> Result<Vec<(Mark, String)>, Box<dyn Error>> {
        let end = self.warm_up.as_secs_f64().min(self.end());
        if end <= 0.0 {
            return Ok(Vec::new());
        }
        let grey = BLACK.mix(0.08).filled();
        chart.draw_series([Rectangle::new([(0.0, low), (end, high)], grey)])?;
        Ok(vec![(
            Mark::Block(grey),
            "warm-up, not measured".to_owned(),
        )])
    }

    /// One point, or none, for each second of a kind.
    fn points(
        &self,
        kind: Kind,
        point: impl Fn(f64, f64, RowOfKind) -> Option<(f64, f64)>,
    ) -> Vec<Option<(f64, f64)>> {
        self.whole_seconds()
            .filter_map(|row| {
                let kinds = Kind::ALL.into_iter().zip(row.rates()).zip(row.kinds);
                let (_, (rate, of_kind)) = kinds
                    .map(|((kind, rate), of_kind)| (kind, (rate, of_kind)))
                    .find(|(of, _)| *of == kind)?;
                Some(point(row.to.as_secs_f64(), rate, of_kind))
            })
            .collect()
    }

    fn whole_seconds(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.seconds() >= SHORTEST)
    }

    fn end(&self) -> f64 {
        self.rows
            .last()
            .map_or(1.0, |row| row.to.as_secs_f64().max(1.0))
    }
}

fn panel<'a, 'b>(area: &'a Area<'b>) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut panel = ChartBuilder::on(area);
    panel.margin(14).x_label_area_size(46).y_label_area_size(76);
    panel
}

/// Colours that people who do not see all colours tell apart.
fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Cosign => RGBColor(0, 114, 178),
        Kind::Enroll => RGBColor(213, 94, 0),
        Kind::Accept => RGBColor(0, 158, 115),
    }
}

/// Runs of points without a hole: where nothing was answered, there is no line.
fn segments(points: Vec<Option<(f64, f64)>>) -> Vec<Points> {
    let runs = points.split(Option::is_none);
    runs.map(|run| run.iter().flatten().copied().collect::<Points>())
        .filter(|run| !run.is_empty())
        .collect()
}

/// How something is drawn, in a panel and in its legend.
#[derive(Clone, Copy)]
enum Mark {
    Line(ShapeStyle),
    Dashes(ShapeStyle),
    Block(ShapeStyle),
}

impl Mark {
    /// Each run of points.
    fn draw_all<Y: Ranged<ValueType = f64>>(
        self,
        chart: &mut Chart<'_, '_, Y>,
        points: Vec<Option<(f64, f64)>>,
    ) -> Drawn {
        for points in segments(points) {
            self.draw(chart, points)?;
        }
        Ok(())
    }

    fn draw<Y: Ranged<ValueType = f64>>(
        self,
        chart: &mut Chart<'_, '_, Y>,
        points: Points,
    ) -> Drawn {
        match self {
            Self::Line(style) | Self::Block(style) => {
                chart.draw_series(LineSeries::new(points, style))?;
            }
            Self::Dashes(style) => {
                chart.draw_series(DashedLineSeries::new(points, 6, 4, style))?;
            }
        }
        Ok(())
    }

    /// In a legend, `y` pixels from above.
    fn show(self, area: &Area<'_>, y: i32) -> Drawn {
        let ends = vec![(0, y), (28, y)];
        match self {
            Self::Line(style) => area.draw(&PathElement::new(ends, style))?,
            Self::Dashes(style) => area.draw(&DashedPathElement::new(ends, 6, 4, style))?,
            Self::Block(style) => area.draw(&Rectangle::new([(0, y - 6), (28, y + 6)], style))?,
        }
        Ok(())
    }
}

/// The legend, beside its panel: it covers no line there.
fn explain(area: &Area<'_>, legend: &[(Mark, String)]) -> Drawn {
    for ((mark, name), y) in legend.iter().zip((24..).step_by(22)) {
        mark.show(area, y)?;
        area.draw(&Text::new(
            name.as_str(),
            (36, y - 6),
            (FONT, 14).into_font(),
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn row(second: u64, done: u64) -> Row {
        let latency = Latency {
            p50: 2.0,
            p90: 3.0,
            p99: 8.0,
            p999: 9.0,
            max: 9.5,
        };
        let answers = RowOfKind {
            done,
            not_done: 0,
            latency: (done > 0).then_some(latency),
        };
        Row {
            from: Duration::from_secs(second),
            to: Duration::from_secs(second + 1),
            in_flight: 4,
            kinds: [
                answers,
                RowOfKind {
                    done: done / 10,
                    ..answers
                },
                RowOfKind::default(),
            ],
        }
    }

    fn figure(rows: &[Row]) -> String {
        let figure = Figure {
            title: "semopsctl bench <alfa> & beta",
            subtitle: "closed loop",
            rows,
            warm_up: Duration::from_secs(2),
            ceiling: Some(14_750.0),
        };
        figure.svg().unwrap()
    }

    /// Tags that are opened and closed in order, with nothing between them that XML does not allow.
    fn is_well_formed(svg: &str) -> bool {
        let mut open = Vec::new();
        for piece in svg.split('<').skip(1) {
            let Some((tag, text)) = piece.split_once('>') else {
                return false;
            };
            if text.contains('&')
                && !["&lt;", "&gt;", "&amp;", "&quot;"]
                    .iter()
                    .any(|e| text.contains(e))
            {
                return false;
            }
            let name = tag.split([' ', '\n']).next().unwrap_or_default();
            if let Some(closed) = name.strip_prefix('/') {
                if open.pop() != Some(closed) {
                    return false;
                }
            } else if !tag.ends_with('/') && !tag.starts_with(['?', '!']) {
                open.push(name);
            }
        }
        open.is_empty() && svg.starts_with("<svg ")
    }

    #[test]
    fn the_picture_is_well_formed_and_says_what_it_shows() {
        let rows: Vec<Row> = (0..12).map(|second| row(second, 500)).collect();
        let svg = figure(&rows);
        assert!(is_well_formed(&svg), "{svg}");
        for text in [
            "seconds since the load began",
            "answered per second",
            "latency, milliseconds (logarithmic)",
            "raw C_Sign loop, 14750/s",
            "warm-up",
            "CosignOrder p50",
            "CosignOrder p99",
            "EnrollDevice p99",
            "semopsctl bench &lt;alfa&gt; &amp; beta",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }

    #[test]
    fn a_run_without_answers_or_seconds_is_a_picture_too() {
        for rows in [vec![], vec![row(0, 0)], vec![row(0, 0), row(1, 0)]] {
            assert!(is_well_formed(&figure(&rows)));
        }
    }

    #[test]
    fn where_nothing_was_answered_the_line_has_a_hole() {
        let point = |x| Some((x, 1.0));
        let runs = segments(vec![point(1.0), point(2.0), None, None, point(5.0)]);
        assert_eq!(runs.len(), 2);
        assert_eq!((runs[0].len(), runs[1].len()), (2, 1));
        assert!(segments(vec![None]).is_empty());
    }
}
