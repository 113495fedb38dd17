//! Columns of text.

use super::output::{Paint, Style, plain};

/// Space between columns.
const GAP: usize = 3;

/// One cell: parts of one line, each in a style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell(Vec<(Style, String)>);

impl Cell {
    /// A text in a style.
    #[must_use]
    pub fn styled(style: Style, text: &str) -> Self {
        Self(vec![(style, plain(text))])
    }

    /// The same with one more part.
    #[must_use]
    pub fn and(mut self, style: Style, text: &str) -> Self {
        self.0.push((style, plain(text)));
        self
    }

    fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    fn painted(&self, paint: Paint) -> String {
        self.0.iter().map(|(style, text)| paint.paint(*style, text)).collect()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(Style::Plain, text.as_ref())
    }
}

/// Columns that grow: lines that come later line up with those before.
#[derive(Debug, Default)]
pub struct Columns(Vec<usize>);

impl Columns {
    /// Rows, each column as wide as its longest cell so far; the last one is not padded.
    #[must_use]
    pub fn lines(&mut self, rows: &[Vec<Cell>], paint: Paint) -> String {
        for row in rows {
            self.0.resize(self.0.len().max(row.len()), 0);
            for (width, cell) in self.0.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let mut text = String::new();
        for row in rows {
            let last = row.iter().rposition(|cell| cell.width() > 0).unwrap_or(0);
            for (column, cell) in row.iter().enumerate().take(last + 1) {
                text.push_str(&cell.painted(paint));
                if column < last {
                    let wide = self.0.get(column).copied().unwrap_or(0);
                    text.extend(std::iter::repeat_n(' ', wide.saturating_sub(cell.width()) + GAP));
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Plain rows under a header, written once.
#[must_use]
pub fn table(names: &[&str], rows: &[Vec<String>]) -> String {
    let rows = rows.iter().map(|row| row.iter().map(Cell::from).collect());
    let rows: Vec<Vec<Cell>> = std::iter::once(header(names)).chain(rows).collect();
    Columns::default().lines(&rows, Paint::PLAIN)
}

/// A header as cells.
#[must_use]
pub fn header(names: &[&str]) -> Vec<Cell> {
    names.iter().map(|name| Cell::styled(Style::Heading, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_where_their_text_ends() {
        let rows = [
            header(&["NAME", "RUNS", "MESSAGE"]),
            vec!["a".into(), "0.31 → 0.32".into(), "".into()],
            vec!["long".into(), "x".into(), "y".into()],
        ];
        let mut columns = Columns::default();
        let text = columns.lines(&rows, Paint::PLAIN);
        assert_eq!(text, "NAME   RUNS          MESSAGE\na      0.31 → 0.32\nlong   x             y\n");
        assert_eq!(
            columns.lines(&[vec!["b".into(), "1".into(), "z".into()]], Paint::PLAIN),
            "b      1             z\n"
        );
    }

    #[test]
    fn colours_take_no_width() {
        let rows = [vec![Cell::styled(Style::Bad, "ab"), "c".into()], vec!["x".into(), "d".into()]];
        let text = Columns::default().lines(&rows, Paint::COLOURED);
        assert_eq!(text, "\u{1b}[31mab\u{1b}[0m   c\nx    d\n");
    }
}
