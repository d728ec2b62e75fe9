//! Charts, drawn as SVG.

use core::fmt::Write;
use core::time::Duration;

use crate::bench::figures::Figures;
use crate::bench::report::escaped;
use crate::text::{count, duration};

/// The picture, and the part of it in which something is drawn.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 32.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 28.0;
/// Bars for each power of ten.
const BARS: i32 = 10;
/// Shares whose times are marked.
const MARKED: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// A place between both ends of an axis, 0 to 1, in the picture.
fn across(share: f64) -> f64 {
    LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
}

fn up(share: f64) -> f64 {
    HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
}

/// A picture with a title and words for those who do not see it.
struct Chart {
    title: String,
    words: String,
    drawn: String,
}

impl Chart {
    fn put(&mut self, shape: core::fmt::Arguments<'_>) {
        self.drawn.write_fmt(shape).expect("a string takes everything");
        self.drawn.push('\n');
    }

    /// A line across with its name at the left.
    fn level(&mut self, share: f64, name: &str) {
        let (y, right, left) = (up(share), WIDTH - RIGHT, LEFT - 6.0);
        self.put(format_args!(
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>"
        ));
        let below = y + 4.0;
        self.put(format_args!(
            "<text x=\"{left}\" y=\"{below:.1}\" text-anchor=\"end\">{}</text>",
            escaped(name)
        ));
    }

    /// A name below.
    fn step(&mut self, share: f64, name: &str) {
        let (x, y) = (across(share), HEIGHT - 8.0);
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
            escaped(name)
        ));
    }

    fn upright(&mut self, share: f64, class: &str) {
        let (x, bottom) = (across(share), HEIGHT - BOTTOM);
        self.put(format_args!(
            "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>"
        ));
    }

    fn end(self, id: &str) -> String {
        let Self { title, words, drawn } = self;
        let (title, words) = (escaped(&title), escaped(&words));
        format!(
            "<figure>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-title {id}-words\">\n\
             <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-words\">{words}</desc>\n{drawn}</svg>\n\
             <figcaption>{title}. {words}</figcaption>\n</figure>\n"
        )
    }
}

/// How many operations took how long, times by powers of ten.
pub(super) fn latencies(figures: &Figures) -> String {
    let seen = &figures.seen.latencies;
    let marked = MARKED.map(|(name, share)| (name, seen.quantile(share)));
    let words = marked.map(|(name, time)| format!("{name} {}", duration(time))).join(", ");
    let words = if seen.count() == 0 { "There was none.".to_owned() } else { format!("Dotted: {words}.") };
    let title = format!("{}: how many operations took how long", figures.workload.name());
    let mut chart = Chart { title, words, drawn: String::new() };
    let bars = bars(seen.recorded());
    if let (Some((first, _)), Some((last, _))) = (bars.first(), bars.last()) {
        let (low, high) = (first.div_euclid(BARS), last.div_euclid(BARS) + 1);
        let place = |power: f64| (power - f64::from(low)) / f64::from(high - low);
        let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(1);
        for quarter in 0..=4_u32 {
            let share = f64::from(quarter) / 4.0;
            chart.level(share, &rounded(most as f64 * share));
        }
        for power in low..=high {
            let time = Duration::from_nanos(10_u64.saturating_pow(power.unsigned_abs()));
            chart.step(place(f64::from(power)), &duration(time));
        }
        for (at, number) in &bars {
            let (from, to) = (f64::from(*at) / f64::from(BARS), f64::from(*at + 1) / f64::from(BARS));
            let (x, y) = (across(place(from)), up(*number as f64 / most as f64));
            let (width, height) = (across(place(to)) - x - 1.0, HEIGHT - BOTTOM - y);
            chart.put(format_args!(
                "<rect class=\"fill\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            ));
        }
        for (_, time) in marked {
            chart.upright(place(power_of(time)), "mark");
        }
    }
    chart.end(&format!("{}-times", figures.workload.name()))
}

/// A number without decimals.
fn rounded(number: f64) -> String {
    let digits = format!("{number:.0}");
    digits.parse().map_or(digits, count)
}

/// Which power of ten a time is, in nanoseconds.
fn power_of(time: Duration) -> f64 {
    (time.as_nanos().max(1) as f64).log10()
}

/// Bars by their places, the shortest time first, without those that are empty.
fn bars(recorded: impl Iterator<Item = (Duration, u64)>) -> Vec<(i32, u64)> {
    let mut bars: Vec<(i32, u64)> = Vec::new();
    for (time, count) in recorded {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a time of up to an hour has twelve powers of ten"
        )]
        let at = (power_of(time) * f64::from(BARS)).floor() as i32;
        match bars.last_mut() {
            Some((last, sum)) if *last == at => *sum += count,
            Some(_) | None => bars.push((at, count)),
        }
    }
    bars
}

/// Operations a second over time, with what else went on.
pub(super) fn throughput(figures: &Figures) -> String {
    let timeline = &figures.timeline;
    let (views, moves) = (timeline.views(), timeline.moves());
    let mut words = Vec::new();
    words.extend((!moves.is_empty()).then(|| "Shaded: slots were moving.".to_owned()));
    words.extend(views.iter().map(|(at, epoch)| format!("View {epoch} after {}.", duration(*at))));
    if words.is_empty() {
        words.push("No slots were moving, and no view came.".to_owned());
    }
    let title = format!("{}: operations a second, over time", figures.workload.name());
    let mut chart = Chart { title, words: words.join(" "), drawn: String::new() };
    let slices: Vec<_> = timeline.slices().collect();
    let end = slices.last().map_or(0.0, |last| last.to.as_secs_f64());
    let most = slices.iter().map(|slice| slice.rate).fold(0.0, f64::max);
    if end > 0.0 && most > 0.0 {
        let place = |at: Duration| at.as_secs_f64() / end;
        for (from, to) in moves {
            let (x, height) = (across(place(from)), HEIGHT - TOP - BOTTOM);
            let width = (across(place(to)) - x).max(2.0);
            chart.put(format_args!(
                "<rect class=\"move\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"/>"
            ));
        }
        for quarter in 0..=4_u32 {
            let share = f64::from(quarter) / 4.0;
            chart.level(share, &rounded(most * share));
            chart.step(share, &format!("{:.2} s", end * share));
        }
        let mut path = String::new();
        for slice in &slices {
            let (from, to, y) = (across(place(slice.from)), across(place(slice.to)), up(slice.rate / most));
            write!(path, "{from:.1},{y:.1} {to:.1},{y:.1} ").expect("a string takes everything");
        }
        chart.put(format_args!("<polyline class=\"line\" points=\"{}\"/>", path.trim_end()));
        for (at, epoch) in views {
            chart.upright(place(at), "view");
            let x = across(place(at)) + 3.0;
            chart.put(format_args!("<text class=\"view-name\" x=\"{x:.1}\" y=\"12\">view {epoch}</text>"));
        }
    }
    chart.end(&format!("{}-rate", figures.workload.name()))
}
