//! The few shapes of SVG that pictures here need. Every text is escaped, every number is short and never NaN.

use std::fmt::{Display, Write as _};

/// SVG elements, one per line.
#[derive(Debug, Default)]
pub struct Svg {
    out: String,
}

/// Rounded to a tenth of a pixel, which is what one sees, without a trailing zero.
#[must_use]
pub fn px(value: f64) -> String {
    let value = if value.is_finite() { value.clamp(-1e5, 1e5) } else { 0.0 };
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Text that is nothing but text: markup is escaped, and what XML cannot hold is left out.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

impl Svg {
    fn push(&mut self, line: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{line}");
    }

    /// A rectangle: x, y, width, height.
    pub fn rect(&mut self, class: &str, [x, y, width, height]: [f64; 4]) {
        let (x, y, width, height) = (px(x), px(y), px(width), px(height));
        self.push(format_args!(
            r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}"/>"#
        ));
    }

    /// A line from one point to another.
    pub fn line(&mut self, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
        let (x1, y1, x2, y2) = (px(x1), px(y1), px(x2), px(y2));
        self.push(format_args!(r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#));
    }

    /// A path; nothing if `d` is empty.
    pub fn path(&mut self, class: &str, d: &str) {
        if !d.is_empty() {
            self.push(format_args!(r#"<path class="{class}" d="{d}"/>"#));
        }
    }

    /// A circle around a point.
    pub fn circle(&mut self, class: &str, [x, y]: [f64; 2], radius: f64) {
        let (x, y, radius) = (px(x), px(y), px(radius));
        self.push(format_args!(r#"<circle class="{class}" cx="{x}" cy="{y}" r="{radius}"/>"#));
    }

    /// `class` may name `mid` or `end`, which anchor the text.
    pub fn text(&mut self, class: &str, [x, y]: [f64; 2], text: &str) {
        let (x, y) = (px(x), px(y));
        self.push(format_args!(r#"<text class="{class}" x="{x}" y="{y}">{}</text>"#, escape(text)));
    }

    /// The whole document.
    #[must_use]
    pub fn document(self, width: f64, height: f64, title: &str) -> String {
        let (width, height, title) = (px(width), px(height), escape(title));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n{HEAD}{}</svg>\n",
            self.out
        )
    }
}

/// Colours keep their contrast on white and on dark grey; only what is drawn on the page itself changes with the mode.
const HEAD: &str = r#"<style>
text { font: 11px -apple-system, "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.name { font-size: 12px; font-weight: 600 }
.dim { fill: #57606a }
.mid { text-anchor: middle }
.end { text-anchor: end }
.on { fill: #ffffff; font-weight: 600 }
.frame { fill: none; stroke: #d0d7de }
.grid { stroke: #d0d7de; stroke-width: 1 }
.guide { stroke: #8c959f; stroke-width: 1; stroke-dasharray: 2 3 }
.lead { stroke: #8c959f; stroke-width: 1; fill: none }
.g0 { fill: #3b76c9 }
.g1 { fill: #2b8a5f }
.g2 { fill: #7d5bbf }
.g3 { fill: #98702f }
.b0 { fill: #cf3f3f }
.b1 { fill: #b5457f }
.none { fill: #8c959f }
.stripe { stroke: #ffffff; stroke-width: 1; opacity: 0.45 }
.crash { stroke: #cf3f3f; stroke-width: 1 }
.apply { fill: #58a0dc }
.soak { fill: #d9a514 }
.back { fill: #cf3f3f }
.block { fill: #6e2c2c }
.go { fill: #3b76c9 }
.ok { fill: #2b8a5f }
.bad { fill: #cf3f3f }
.wait { fill: #b07d0c }
.white { fill: none; stroke: #ffffff; stroke-width: 1.6; stroke-linecap: round }
.limit { stroke: #cf3f3f; stroke-width: 1.2; stroke-dasharray: 5 3 }
.limit-text { fill: #b52f2f }
.curve { fill: none; stroke: #3b76c9; stroke-width: 1.8 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.dim { fill: #9ba5b0 }
.frame { stroke: #3d444d }
.grid { stroke: #3d444d }
.curve { stroke: #6aa5ee }
.limit-text { fill: #ff8f88 }
.crash { stroke: #f0625c }
}
</style>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_stays_text_and_controls_go() {
        let hostile = "<script>alert('x')</script>&\"\u{0}\u{1b}[2J\u{ffff}]]>";
        let safe = escape(hostile);
        assert_eq!(safe, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;  [2J]]&gt;");
    }

    #[test]
    fn numbers_are_short_and_finite() {
        for (value, text) in
            [(1.0, "1"), (1.25, "1.2"), (-0.01, "0"), (f64::NAN, "0"), (1e300, "0"), (3.96, "4")]
        {
            let expected = if value > 1e200 { "100000" } else { text };
            assert_eq!(px(value), expected);
        }
    }
}
