//! A browser on a screen of characters. Names are safe to print before they come here.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Clear, Paragraph, Widget as _},
};

use super::{Model, Pane, model::Row};
use crate::{
    evidence::see::{Item, Kind, Listing, Origin, bar, kind_and_mode, owner},
    ground::{bytes, printable},
};

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// A colour for each layer.
    pub colours: bool,
}

/// Lines of the box with details, its frame included.
const DETAILS: u16 = 7;
/// Columns of the pane with layers, its frame included.
const LAYERS: u16 = 27;
/// Less room than this is said, not used.
const LEAST: (u16, u16) = (50, 14);

const HELP: &[&str] = &[
    "up, down, j, k      move",
    "PgUp, PgDn, g, G    a screen; to the first, the last",
    "right, left, l, h   open; close, or to the folder above",
    "Enter, space        open or close",
    "Tab                 layers or files",
    "                    (on a layer: its files alone)",
    "/                   search in paths; n, N: next, previous",
    "s                   by size or by name",
    "Esc                 no search, all layers",
    "?                   this help",
    "q, Ctrl-C           quit",
];

/// Draws all of it, and tells the model how many lines it has.
pub fn draw(frame: &mut Frame<'_>, model: &mut Model, look: Look) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text =
            format!("{} x {} is too small: {} x {} at least; q quits", area.width, area.height, LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let [title, middle, details, hint] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(DETAILS),
        Constraint::Length(1),
    ])
    .areas(area);
    let [layers, files] = Layout::horizontal([Constraint::Length(LAYERS), Constraint::Min(1)]).areas(middle);
    model.resize(usize::from(files.height.saturating_sub(2)));
    let buffer = frame.buffer_mut();
    head(buffer, title, model);
    draw_layers(buffer, layers, model, look);
    draw_files(buffer, files, model, look);
    draw_details(buffer, details, model);
    draw_hint(buffer, hint, model);
    if model.help {
        draw_help(buffer, area);
    }
    if model.typing.is_some() {
        let column = Line::from(hint_text(model)).width().min(usize::from(hint.width.saturating_sub(1)));
        frame.set_cursor_position((hint.x + u16::try_from(column).unwrap_or(0), hint.y));
    }
}

fn put(buffer: &mut Buffer, area: Rect, from: u16, width: u16, text: &str, style: Style) {
    let room = width.min(area.width.saturating_sub(from));
    if room > 0 && area.height > 0 {
        buffer.set_stringn(area.x + from, area.y, text, room.into(), style);
    }
}

/// One line of an area.
fn line(area: Rect, number: usize) -> Option<Rect> {
    let number = u16::try_from(number).ok().filter(|number| *number < area.height)?;
    Some(Rect { y: area.y + number, height: 1, ..area })
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn of_stage(stage: usize, look: Look) -> Style {
    const COLOURS: [Color; 6] =
        [Color::Cyan, Color::Green, Color::Yellow, Color::Magenta, Color::Blue, Color::LightRed];
    if look.colours { Style::new().fg(COLOURS[stage % COLOURS.len()]) } else { Style::new() }
}

fn head(buffer: &mut Buffer, area: Rect, model: &Model) {
    let listing = &model.listing;
    let text = format!("{}  {} paths, {}", model.title, listing.items.len(), bytes(listing.size()));
    put(buffer, area, 1, area.width, &text, bold());
}

fn framed(buffer: &mut Buffer, area: Rect, title: String, focus: bool) -> Rect {
    let style = if focus { bold() } else { dim() };
    let block = Block::bordered().title(title).border_style(style).title_style(style);
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

fn draw_layers(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let inner = framed(buffer, area, " Layers ".to_owned(), model.pane == Pane::Layers);
    let largest = model.layers.iter().copied().max().unwrap_or(0);
    let all = ("all".to_owned(), model.layers.iter().copied().fold(0, u64::saturating_add), None);
    let each = model.layers.iter().enumerate();
    let each = each.map(|(stage, size)| (printable(model.listing.tier(stage).as_bytes()), *size, Some(stage)));
    let rows: Vec<_> = std::iter::once(all).chain(each).collect();
    let chosen = model.only.map_or(0, |stage| stage + 1);
    let top = (chosen + 1).saturating_sub(inner.height.into());
    for (at, (name, size, stage)) in rows.iter().enumerate().skip(top) {
        let Some(area) = line(inner, at - top) else { return };
        let style = stage.map_or_else(Style::new, |stage| of_stage(stage, look));
        let style = if at == chosen { style.add_modifier(Modifier::REVERSED) } else { style };
        buffer.set_style(area, style);
        put(buffer, area, 0, 10, name, style);
        put(buffer, area, 11, 8, &format!("{:>8}", bytes(*size)), style);
        if stage.is_some() {
            put(buffer, area, 20, 5, &bar(*size, largest, 5), style);
        }
    }
    draw_packages(buffer, inner, rows.len() - top + 1, model);
}

/// The packages of the layer that is shown, the largest first, as far as there is room.
fn draw_packages(buffer: &mut Buffer, area: Rect, from: usize, model: &Model) {
    let packages = model.listing.packages.iter().zip(&model.package_sizes);
    let mut packages: Vec<_> = packages.filter(|(one, _)| model.only.is_none_or(|stage| stage == one.stage)).collect();
    packages.sort_by_key(|(_, size)| std::cmp::Reverse(**size));
    let Some(head) = line(area, from) else { return };
    put(buffer, head, 0, area.width, &format!("{} packages", packages.len()), bold());
    for (at, (package, size)) in packages.iter().enumerate() {
        let Some(area) = line(area, from + 1 + at) else { return };
        put(buffer, area, 0, 15, &printable(package.name.as_bytes()), dim());
        put(buffer, area, 16, 9, &format!("{:>9}", bytes(**size)), dim());
    }
}

fn draw_files(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let order = match model.sort {
        crate::evidence::see::Sort::Size => "by size",
        crate::evidence::see::Sort::Name => "by name",
    };
    let of =
        model.only.map_or_else(String::new, |stage| format!("of {} ", printable(model.listing.tier(stage).as_bytes())));
    let inner = framed(buffer, area, format!(" Files {of}{order} "), model.pane == Pane::Files);
    let whole = model.tree.sizes.first().copied().unwrap_or(0);
    for (at, row) in model.rows.iter().enumerate().skip(model.top) {
        let Some(area) = line(inner, at - model.top) else { return };
        let under = at == model.cursor;
        let stages = model.tree.stages(&model.listing, row.item);
        let style = stages.last().map_or_else(Style::new, |stage| of_stage(*stage, look));
        let style = if under { style.add_modifier(Modifier::REVERSED) } else { style };
        buffer.set_style(area, style);
        let size = model.tree.sizes.get(row.item).copied().unwrap_or(0);
        put(buffer, area, 0, 8, &format!("{:>8}", bytes(size)), style);
        put(buffer, area, 9, 5, &bar(size, whole, 5), style);
        let end = area.width.saturating_sub(11);
        let emphasis = if model.found.binary_search(&row.item).is_ok() {
            style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        } else {
            style
        };
        put(buffer, area, 15, end.saturating_sub(16), &name(model, row), emphasis);
        let tier = match stages.as_slice() {
            [only] => printable(model.listing.tier(*only).as_bytes()),
            several => format!("{} layers", several.len()),
        };
        put(buffer, area, end, 11, &tier, style);
    }
}

fn name(model: &Model, row: &Row) -> String {
    let Some(item) = model.listing.items.get(row.item) else { return String::new() };
    let name = if item.path.is_root() { "/".to_owned() } else { printable(item.path.name()) };
    let sign = match (&item.kind, model.is_open(row.item)) {
        (Kind::Directory, true) => "▾ ",
        (Kind::Directory, false) => "▸ ",
        _ => "  ",
    };
    let to = match &item.kind {
        Kind::Link(target) => format!(" -> {}", printable(target)),
        _ => String::new(),
    };
    format!("{}{sign}{name}{to}", "  ".repeat(row.depth.min(200)))
}

fn draw_details(buffer: &mut Buffer, area: Rect, model: &Model) {
    let inner = framed(buffer, area, " Details ".to_owned(), false);
    let Some(row) = model.rows.get(model.cursor) else { return };
    let Some(item) = model.listing.items.get(row.item) else { return };
    let listing = &model.listing;
    let about = match &item.kind {
        Kind::Directory => {
            let (files, size) = (model.tree.counts.get(row.item), model.tree.sizes.get(row.item));
            format!("{} files, {}", files.copied().unwrap_or(0), bytes(size.copied().unwrap_or(0)))
        }
        Kind::File { size, same_file_as: None } => format!("{size} bytes"),
        Kind::File { size, same_file_as: Some(first) } => {
            let first = listing.items.get(*first).map_or_else(String::new, |first| first.path.to_string());
            format!("{size} bytes, the same file as {first}")
        }
        Kind::Link(target) => format!("-> {}", printable(target)),
    };
    let layer = printable(listing.tier(item.stage).as_bytes());
    let (origin, place) = origin(listing, item);
    let lines = [
        tail(&item.path.to_string(), inner.width.into()),
        format!("{}  {}  {about}", kind_and_mode(item), owner(listing, item)),
        format!("layer   {layer}"),
        format!("origin  {origin}"),
        format!("        {place}"),
    ];
    for (number, text) in lines.iter().enumerate() {
        if let Some(area) = line(inner, number) {
            put(buffer, area, 0, area.width, text, if number == 0 { bold() } else { Style::new() });
        }
    }
}

/// What brought it, and where the manifests say so.
fn origin(listing: &Listing, item: &Item) -> (String, String) {
    let tier = |stage: usize| printable(listing.tier(stage).as_bytes());
    match &item.origin {
        Origin::Package(number) => {
            let Some(package) = listing.packages.get(*number) else { return Default::default() };
            let name = format!("{} {} ({})", package.name, package.version, package.architecture);
            let wish = match &package.wished {
                Some(place) => format!("named in {place}"),
                None => format!("a dependency in {}", tier(package.stage)),
            };
            (printable(name.as_bytes()), wish)
        }
        Origin::Generator { name, stage } => {
            (format!("made by the generator {}", printable(name.as_bytes())), format!("for {}", tier(*stage)))
        }
        Origin::Manifest { key, place } => (format!("[[{}]]", printable(key.as_bytes())), place.to_string()),
        Origin::Image(layer) => ("a layer of the image below".to_owned(), printable(layer.as_bytes())),
        Origin::Implied => ("a folder that something else lies in".to_owned(), String::new()),
    }
}

/// The end of a long text.
fn tail(text: &str, width: usize) -> String {
    if Line::from(text).width() <= width {
        return text.to_owned();
    }
    let count = text.chars().count();
    // Wide characters take two columns: then less is shown than there is room for.
    let cut = count.saturating_sub(width.saturating_sub(1) / if text.is_ascii() { 1 } else { 2 });
    format!("…{}", text.chars().skip(cut).collect::<String>())
}

fn hint_text(model: &Model) -> String {
    match &model.typing {
        Some((text, _)) => format!("/{}", printable(text.as_bytes())),
        None if !model.pattern.is_empty() => {
            let pattern = printable(model.pattern.as_bytes());
            format!("{} paths with \"{pattern}\"  n next  N previous  Esc clear", model.found.len())
        }
        None => "? help  / search  Tab layers  s sort  q quit".to_owned(),
    }
}

fn draw_hint(buffer: &mut Buffer, area: Rect, model: &Model) {
    put(buffer, area, 0, area.width, &hint_text(model), Style::new());
    if model.typing.is_some() {
        let text = format!(" {} found ", model.found.len());
        let width = u16::try_from(text.len()).unwrap_or(0).min(area.width);
        put(buffer, area, area.width - width, width, &text, dim());
    }
}

fn draw_help(buffer: &mut Buffer, area: Rect) {
    let (width, height) = (62.min(area.width), (HELP.len() as u16 + 2).min(area.height));
    let inside = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    Clear.render(inside, buffer);
    let text: Vec<Line<'_>> = HELP.iter().map(|line| Line::from(format!(" {line}"))).collect();
    Paragraph::new(text).block(Block::bordered().title(" Keys ")).render(inside, buffer);
}
