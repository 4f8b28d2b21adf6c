//! The state of a browser, and what keys do to it. Nothing here draws or reads a terminal.

use crate::evidence::see::{Kind, Listing, Sort, Tree};

/// A key, whatever terminal it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The arrow.
    Up,
    /// The arrow.
    Down,
    /// The arrow.
    Left,
    /// The arrow.
    Right,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the first.
    Home,
    /// To the last.
    End,
    /// Return.
    Enter,
    /// The other pane.
    Tab,
    /// Out of what was begun.
    Escape,
    /// Takes the last character back.
    Backspace,
    /// A character.
    Char(char),
}

/// Whether it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Go,
    /// The user has seen enough.
    Quit,
}

/// Which part the arrows move in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    /// The layers.
    Layers,
    /// The files.
    Files,
}

/// A line of the tree that is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// Its item's number.
    pub(super) item: usize,
    /// How far below the root.
    pub(super) depth: usize,
}

/// A browser of a tier.
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) title: String,
    pub(super) listing: Listing,
    pub(super) tree: Tree,
    /// By stage: bytes of what the tier has of its layer.
    pub(super) layers: Vec<u64>,
    pub(super) package_sizes: Vec<u64>,
    pub(super) pane: Pane,
    /// The layer that is shown alone; none: all of them.
    pub(super) only: Option<usize>,
    pub(super) sort: Sort,
    /// By item: whether what lies below is shown.
    open: Vec<bool>,
    /// By item: whether the layer that is shown has it, or something below it.
    shown: Vec<bool>,
    pub(super) rows: Vec<Row>,
    /// The row under the cursor.
    pub(super) cursor: usize,
    /// The row that is drawn first.
    pub(super) top: usize,
    /// How many rows there is room for.
    height: usize,
    /// What is being typed after `/`, and the item where the search began.
    pub(super) typing: Option<(String, usize)>,
    pub(super) pattern: String,
    /// Items whose path has the pattern.
    pub(super) found: Vec<usize>,
    pub(super) help: bool,
}

/// Characters of a pattern that are taken.
const LONGEST_PATTERN: usize = 200;

impl Model {
    /// All of a tier, the root open. The title is drawn as it is.
    pub fn new(title: impl Into<String>, listing: Listing) -> Self {
        let mut layers = vec![0_u64; listing.tiers.len()];
        for item in &listing.items {
            if let Some(size) = layers.get_mut(item.stage) {
                *size = size.saturating_add(Listing::own_size(item));
            }
        }
        let mut model = Self {
            title: title.into(),
            tree: Tree::default(),
            layers,
            package_sizes: listing.sizes_by_package(),
            pane: Pane::Files,
            only: None,
            sort: Sort::Size,
            open: vec![false; listing.items.len()],
            shown: Vec::new(),
            rows: Vec::new(),
            cursor: 0,
            top: 0,
            height: 1,
            typing: None,
            pattern: String::new(),
            found: Vec::new(),
            help: false,
            listing,
        };
        model.open.first_mut().into_iter().for_each(|root| *root = true);
        model.filter(None);
        model
    }

    /// There is room for so many lines of the tree.
    pub fn resize(&mut self, height: usize) {
        self.height = height.max(1);
        self.scroll();
    }

    /// The path under the cursor.
    pub fn path(&self) -> String {
        self.rows.get(self.cursor).map_or_else(String::new, |row| self.listing.items[row.item].path.to_string())
    }

    /// What a key does.
    pub fn press(&mut self, key: Key) -> Flow {
        if self.help {
            self.help = false;
            // The key that ends it has done its work; but `q` means the same everywhere.
            return if key == Key::Char('q') { Flow::Quit } else { Flow::Go };
        }
        if self.typing.is_some() {
            self.search(key);
            return Flow::Go;
        }
        match key {
            Key::Char('q') => return Flow::Quit,
            Key::Char('?') => self.help = true,
            Key::Char('/') => self.typing = Some((String::new(), self.item())),
            Key::Char('n') => self.next(true),
            Key::Char('N') => self.next(false),
            Key::Char('s') => {
                self.sort = if self.sort == Sort::Size { Sort::Name } else { Sort::Size };
                self.refresh(self.item());
            }
            Key::Tab => self.pane = if self.pane == Pane::Files { Pane::Layers } else { Pane::Files },
            Key::Escape => {
                self.pattern.clear();
                self.found.clear();
                self.filter(None);
            }
            _ if self.pane == Pane::Layers => self.choose(key),
            _ => self.wander(key),
        }
        Flow::Go
    }

    /// Whether what lies below an item is drawn.
    pub(super) fn is_open(&self, item: usize) -> bool {
        self.open.get(item) == Some(&true)
    }

    /// The item under the cursor.
    fn item(&self) -> usize {
        self.rows.get(self.cursor).map_or(0, |row| row.item)
    }

    fn choose(&mut self, key: Key) {
        let last = self.layers.len();
        let at = self.only.map_or(0, |stage| stage + 1);
        let at = match key {
            Key::Up | Key::Char('k') => at.saturating_sub(1),
            Key::Down | Key::Char('j') => (at + 1).min(last),
            Key::Home | Key::PageUp | Key::Char('g') => 0,
            Key::End | Key::PageDown | Key::Char('G') => last,
            Key::Enter | Key::Right | Key::Char('l') => {
                self.pane = Pane::Files;
                return;
            }
            _ => return,
        };
        self.filter(at.checked_sub(1));
    }

    fn wander(&mut self, key: Key) {
        let last = self.rows.len().saturating_sub(1);
        let item = self.item();
        let folder = self.listing.items.get(item).is_some_and(|item| item.kind == Kind::Directory);
        match key {
            Key::Up | Key::Char('k') => self.cursor = self.cursor.saturating_sub(1),
            Key::Down | Key::Char('j') => self.cursor = (self.cursor + 1).min(last),
            Key::PageUp => self.cursor = self.cursor.saturating_sub(self.height),
            Key::PageDown => self.cursor = self.cursor.saturating_add(self.height).min(last),
            Key::Home | Key::Char('g') => self.cursor = 0,
            Key::End | Key::Char('G') => self.cursor = last,
            Key::Enter | Key::Char(' ') if folder => self.open(item, !self.is_open(item)),
            // On what is open already, into it.
            Key::Right | Key::Char('l') if folder && self.is_open(item) => self.cursor = (self.cursor + 1).min(last),
            Key::Right | Key::Char('l') if folder => self.open(item, true),
            Key::Left | Key::Char('h') if folder && item != 0 && self.is_open(item) => self.open(item, false),
            Key::Left | Key::Char('h') => self.go_to(self.tree.above.get(item).copied().unwrap_or(0)),
            _ => {}
        }
        self.scroll();
    }

    fn open(&mut self, item: usize, open: bool) {
        self.open.get_mut(item).into_iter().for_each(|state| *state = open);
        self.refresh(item);
    }

    /// Shows one layer alone, or all.
    fn filter(&mut self, only: Option<usize>) {
        let item = self.item();
        self.only = only;
        self.tree = Tree::of(&self.listing, only);
        let items = &self.listing.items;
        self.shown = items.iter().map(|item| only.is_none_or(|stage| stage == item.stage)).collect();
        for number in (1..items.len()).rev() {
            if self.shown[number] {
                self.shown[self.tree.above[number]] = true;
            }
        }
        self.look_up();
        self.refresh(item);
    }

    /// The lines anew, the cursor on this item, or on the nearest folder above it that is drawn.
    fn refresh(&mut self, item: usize) {
        self.rows.clear();
        let mut waiting: Vec<Row> = self.listing.items.first().map(|_| Row { item: 0, depth: 0 }).into_iter().collect();
        while let Some(row) = waiting.pop() {
            self.rows.push(row);
            if self.is_open(row.item) {
                let below = self.tree.below(row.item, self.sort).into_iter().rev();
                let below = below.filter(|item| self.shown.get(*item) == Some(&true));
                waiting.extend(below.map(|item| Row { item, depth: row.depth + 1 }));
            }
        }
        let mut item = item;
        self.cursor = loop {
            match self.rows.iter().position(|row| row.item == item) {
                Some(at) => break at,
                // Folders have lower numbers: it ends at the root.
                None if item > 0 => item = self.tree.above.get(item).copied().unwrap_or(0).min(item - 1),
                None => break 0,
            }
        };
        self.scroll();
    }

    /// Opens all folders above an item, and goes there.
    fn go_to(&mut self, item: usize) {
        let mut above = item;
        while above > 0 {
            above = self.tree.above.get(above).copied().unwrap_or(0).min(above - 1);
            self.open.get_mut(above).into_iter().for_each(|state| *state = true);
        }
        self.refresh(item);
    }

    fn scroll(&mut self) {
        let lowest = self.rows.len().saturating_sub(self.height);
        self.top = self.top.min(self.cursor).max((self.cursor + 1).saturating_sub(self.height)).min(lowest);
    }

    fn search(&mut self, key: Key) {
        let Some((mut text, start)) = self.typing.take() else { return };
        match key {
            Key::Enter => {
                if text.is_empty() {
                    self.pattern.clear();
                    self.found.clear();
                }
                return;
            }
            Key::Escape => {
                self.pattern.clear();
                self.found.clear();
                self.go_to(start);
                return;
            }
            Key::Backspace => drop(text.pop()),
            Key::Char(c) if !c.is_control() && text.chars().count() < LONGEST_PATTERN => text.push(c),
            _ => {}
        }
        self.pattern = text.clone();
        self.typing = Some((text, start));
        self.look_up();
        let first = self.found.iter().find(|item| **item >= start).or(self.found.first());
        self.go_to(first.copied().unwrap_or(start));
    }

    /// Finds the pattern in the paths of what is shown, upper and lower case alike.
    fn look_up(&mut self) {
        self.found.clear();
        if self.pattern.is_empty() {
            return;
        }
        let wanted = self.pattern.to_lowercase();
        let items = self.listing.items.iter().enumerate();
        let has = |path: String| path.to_lowercase().contains(&wanted);
        let found = items.filter(|(number, item)| self.shown[*number] && has(item.path.to_string()));
        self.found = found.map(|(number, _)| number).collect();
    }

    fn next(&mut self, forward: bool) {
        let here = self.item();
        let found = &self.found;
        let next = match forward {
            true => found.iter().find(|item| **item > here).or(found.first()),
            false => found.iter().rev().find(|item| **item < here).or(found.last()),
        };
        if let Some(next) = next.copied() {
            self.go_to(next);
        }
    }
}
