//! Columns of text.

/// Rows under a header, each column as wide as its longest cell; the last one is not padded.
#[must_use]
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            lines.iter().filter_map(|line| line.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in lines {
        let last = line.len().saturating_sub(1);
        for (column, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if column < last {
                let wide = widths.get(column).copied().unwrap_or(0);
                text.extend(std::iter::repeat_n(' ', wide.saturating_sub(width(cell)) + 3));
            }
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_where_their_text_ends() {
        let rows = vec![
            vec!["a".into(), "0.31 → 0.32".into(), String::new()],
            vec!["long".into(), "x".into(), "y".into()],
        ];
        let text = table(&["NAME", "RUNS", "MESSAGE"], &rows);
        assert_eq!(text, "NAME   RUNS          MESSAGE\na      0.31 → 0.32\nlong   x             y\n");
    }
}
