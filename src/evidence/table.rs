//! Plain text tables: columns as wide as their widest cell, two spaces between.

pub use crate::ground::bytes;

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table with a head line; every row has as many cells as `columns`. No trailing spaces.
pub fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let widest = cells.chain([columns[column].0.chars().count()]).max().unwrap_or(0);
        // Formatting takes no wider one; an archive may have any version.
        widest.min(u16::MAX.into())
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    let head: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().zip(columns).zip(&widths).map(|((cell, (_, align)), width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_without_trailing_spaces() {
        let rows = [vec!["cc".to_owned(), "1716".to_owned()], vec!["static".to_owned(), "9".to_owned()]];
        let text = table(&[("tier", Align::Left), ("entries", Align::Right)], &rows);
        assert_eq!(text, "tier    entries\ncc         1716\nstatic        9\n");
    }

    #[test]
    fn a_very_long_cell_is_no_panic() {
        let rows = [vec!["1".repeat(70_000), "x".to_owned()], vec!["2".to_owned(), "y".to_owned()]];
        assert!(table(&[("version", Align::Left), ("", Align::Right)], &rows).contains(&"1".repeat(70_000)));
    }

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (24_073_836, "24.1 MB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
