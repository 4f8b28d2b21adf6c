//! `dependencies = "linked"`: of all dependencies, those that the kept files really need.
//!
//! The full answer says which packages there could be; this decides which of them stay. A package stays
//! where a package that stays needs it: by a library that the loader looks for, an interpreter, the
//! target of a link, a library that a dlopen note requires; where it is the other half of one program (of
//! the same source, in exactly this version); or where the package that depends on it has no files of its
//! own, and so is there only for what it depends on. docs/linked.md has the rules and their reasons.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
};

use super::{Answer, Chosen, Question, Reason, ResolveError};
use crate::{
    archive::{Index, Package},
    debian::relation::{Operator, parse_relations},
    elf::{Asker, Elf, Loader, Priority, Tree},
    ground::{RootPath, Span, follow, printable},
};

/// Gives what packages hold, in batches, so that all of a round are fetched at once.
pub trait Linkage {
    /// Why packages could not be had or read.
    type Error;

    /// What these packages hold, in their order.
    fn contents(&mut self, packages: &[&Package]) -> Result<Vec<Contents>, Self::Error>;
}

/// The kept files of one package.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// All but folders, by final path.
    pub files: BTreeMap<RootPath, Piece>,
    /// Whether the .deb itself has nothing but documentation, whatever the globs keep.
    pub bare: bool,
}

/// One kept file.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// An ELF file of the tier's architecture.
    Elf(Box<Elf>),
    /// A program that begins with `#!`: the path or the name of its interpreter.
    Script(Vec<u8>),
    /// A symbolic link and its target.
    Link(Box<[u8]>),
    /// Anything else.
    Other,
}

/// What decides, beside the question itself.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Libraries that may be missing.
    pub allow_missing: BTreeSet<String>,
    /// Whether /bin, /lib ... lead into /usr where no package brings the links.
    pub merged_usr: bool,
}

/// Why one package needs another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A file wants this library.
    Library(String),
    /// A file says that it loads this library while it runs, and cannot do without.
    Loaded(String),
    /// A program is started through this one.
    Interpreter(String),
    /// A link leads there.
    Target(String),
    /// Both are of one source and version.
    Half,
    /// The package itself is empty.
    Collection,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Library(name) => write!(f, "needs the library {name}"),
            Need::Loaded(name) => write!(f, "loads the library {name}"),
            Need::Interpreter(name) => write!(f, "is run by {name}"),
            Need::Target(path) => write!(f, "is a link to {path}"),
            Need::Half => f.write_str("is the other half of it"),
            Need::Collection => f.write_str("is empty but for its dependencies"),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Linked {
    /// The packages that stay, in the order of the full answer, each with its reason.
    pub answer: Answer,
    /// Packages of the full answer that do not stay.
    pub saved: usize,
    /// Bytes of their .debs.
    pub saved_size: u64,
    /// What is missing without harm, in words; sorted.
    pub remarks: Vec<String>,
}

/// Why no answer came of it.
#[derive(Debug)]
pub enum LinkError<E> {
    /// Packages could not be had or read.
    Contents(E),
    /// Libraries are found nowhere.
    Missing(Vec<ResolveError>),
}

/// Reduces `answer`, which [`super::resolve()`] gave for `question` and `present`, to what is needed.
///
/// # Errors
/// Those of `linkage`, and every library that is found neither in the parent chain nor among the
/// dependencies of the package that wants it.
pub fn link<L: Linkage>(
    question: &Question,
    rules: &Rules,
    index: &Index,
    present: &[Package],
    answer: Answer,
    linkage: &mut L,
) -> Result<Linked, LinkError<L::Error>> {
    let all: Vec<&Package> = answer.packages.iter().map(|chosen| &chosen.package).chain(present).collect();
    let edges = edges(index, &all);
    let own = answer.packages.len();
    let mut linker = Linker {
        rules,
        loader: Loader::of(question.architecture.multiarch()),
        own,
        packages: &all,
        edges: &edges,
        contents: BTreeMap::new(),
        paths: BTreeMap::new(),
        names: BTreeMap::new(),
        reasons: BTreeMap::new(),
    };
    let mut queue: Vec<usize> = Vec::new();
    for (number, chosen) in answer.packages.iter().enumerate() {
        if let Reason::Wish(_) = chosen.reason {
            linker.reasons.insert(number, chosen.reason.clone());
            queue.push(number);
        }
    }
    let mut wanted: BTreeSet<usize> = queue.iter().copied().chain(own..all.len()).collect();
    loop {
        let batch: Vec<usize> = wanted.iter().copied().filter(|number| !linker.contents.contains_key(number)).collect();
        let packages: Vec<&Package> = batch.iter().map(|number| all[*number]).collect();
        for (number, contents) in batch.into_iter().zip(linkage.contents(&packages).map_err(LinkError::Contents)?) {
            linker.take(number, contents);
        }
        wanted.clear();
        let mut open = Vec::new();
        let mut next = VecDeque::from(std::mem::take(&mut queue));
        while let Some(number) = next.pop_front() {
            let (kept, unread) = linker.settle(number);
            if !unread.is_empty() {
                wanted.extend(unread);
                open.push(number);
            }
            for (other, reason) in kept {
                if other < own && !linker.reasons.contains_key(&other) {
                    linker.reasons.insert(other, reason);
                    next.push_back(other);
                }
            }
        }
        queue = open;
        if queue.is_empty() {
            break;
        }
    }
    let (missing, remarks) = linker.judge();
    let mut reasons = linker.reasons;
    if !missing.is_empty() {
        return Err(LinkError::Missing(missing.into_iter().map(|missing| missing.error(question, &answer)).collect()));
    }
    let Answer { packages, unmet, idle_omissions } = answer;
    let (mut saved, mut saved_size) = (0, 0);
    let mut stay = Vec::new();
    for (number, Chosen { package, .. }) in packages.into_iter().enumerate() {
        match reasons.remove(&number) {
            Some(reason) => stay.push(Chosen { package, reason }),
            None => (saved, saved_size) = (saved + 1, saved_size + package.size),
        }
    }
    let answer = Answer { packages: stay, unmet, idle_omissions };
    Ok(Linked { answer, saved, saved_size, remarks })
}

/// A dependency: which package, and whether it must be of just this version.
struct Edge {
    to: usize,
    exact: bool,
}

/// What each package depends on, among these, in the order of its relations.
fn edges(index: &Index, packages: &[&Package]) -> Vec<Vec<Edge>> {
    let records: Vec<_> = packages.iter().map(|package| index.find(package).map(|found| found.record)).collect();
    let mut called: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, (package, record)) in packages.iter().zip(&records).enumerate() {
        called.entry(&package.name).or_default().push(number);
        for provided in record.iter().flat_map(|record| record.provided()).flatten() {
            called.entry(provided.name).or_default().push(number);
        }
    }
    let all = records.iter().enumerate().map(|(number, record)| {
        let fields = record.iter().flat_map(|record| [record.pre_depends, record.depends]);
        // A field that cannot be read failed the full answer already.
        let relations = fields.flat_map(|text| parse_relations(text).unwrap_or_default());
        let relations: Vec<_> = relations.filter_map(|relation| relation.on(index.architecture())).collect();
        let mut edges: Vec<Edge> = Vec::new();
        // At least and at most of one package: together they ask for one version too.
        let (mut low, mut high) = (BTreeSet::new(), BTreeSet::new());
        for alternative in relations.iter().flat_map(|relation| &relation.0) {
            for to in called.get(&*alternative.name).into_iter().flatten().copied().filter(|to| *to != number) {
                match alternative.version.as_ref().map(|(operator, _)| *operator) {
                    None => {}
                    Some(Operator::Later | Operator::LaterOrEqual) => drop(low.insert(to)),
                    Some(Operator::Earlier | Operator::EarlierOrEqual) => drop(high.insert(to)),
                    Some(Operator::Equal) => drop((low.insert(to), high.insert(to))),
                }
                if !edges.iter().any(|edge| edge.to == to) {
                    edges.push(Edge { to, exact: false });
                }
            }
        }
        for edge in &mut edges {
            edge.exact = low.contains(&edge.to) && high.contains(&edge.to);
        }
        edges
    });
    all.collect()
}

/// A library that is found nowhere.
struct Missing {
    by: usize,
    file: RootPath,
    library: String,
}

impl Missing {
    fn error(self, question: &Question, answer: &Answer) -> ResolveError {
        let package = answer.packages.get(self.by).map(|chosen| &chosen.package);
        let package = package.map(|package| format!("{} {}", package.name, package.version)).unwrap_or_default();
        ResolveError::Library { library: self.library, file: self.file, package, span: wish(question, answer, self.by) }
    }
}

/// The wish behind a package of the full answer.
fn wish(question: &Question, answer: &Answer, number: usize) -> Span {
    let mut at = answer.packages.get(number);
    // Each was asked for by an earlier one.
    for _ in 0..answer.packages.len() {
        match at.map(|chosen| &chosen.reason) {
            Some(Reason::Wish(wish)) => {
                return question.wishes.get(*wish).map(|wish| wish.span.clone()).unwrap_or_default();
            }
            Some(Reason::Dependency { by, .. } | Reason::Linked { by, .. }) => {
                at = answer.packages.iter().find(|chosen| chosen.package.name == *by);
            }
            None => break,
        }
    }
    question.wishes.first().map(|wish| wish.span.clone()).unwrap_or_default()
}

/// What became of one need.
enum Outcome {
    /// Nothing has to be done.
    Met,
    /// This package has it.
    By(usize),
    /// One of these packages may have it: they are not read yet.
    Perhaps(Vec<usize>),
    Nowhere,
}

struct Linker<'a> {
    rules: &'a Rules,
    loader: Loader,
    /// How many of `packages` are of the answer; the others are of the parent chain.
    own: usize,
    packages: &'a [&'a Package],
    edges: &'a [Vec<Edge>],
    contents: BTreeMap<usize, Contents>,
    /// Who has a path, among those that are read.
    paths: BTreeMap<RootPath, Vec<usize>>,
    /// Who has a library of this soname or file name, wherever it lies.
    names: BTreeMap<Box<[u8]>, BTreeSet<usize>>,
    /// The packages that stay.
    reasons: BTreeMap<usize, Reason>,
}

/// The files of some packages.
struct View<'a, 'l> {
    linker: &'l Linker<'a>,
    visible: &'l dyn Fn(usize) -> bool,
}

impl View<'_, '_> {
    fn piece(&self, path: &[u8]) -> Option<(usize, &Piece)> {
        let (path, owners) = self.linker.paths.get_key_value(path)?;
        let owner = owners.iter().copied().find(|owner| (self.visible)(*owner))?;
        Some((owner, self.linker.contents.get(&owner)?.files.get(path)?))
    }

    /// The owner of what a path leads to.
    fn owner(&self, path: &[u8]) -> Option<usize> {
        let real = follow(path, true, |path| self.link(path)).ok()?;
        Some(self.piece(&real)?.0)
    }

    /// The owner of a link at a path, wherever it leads.
    fn link_owner(&self, path: &[u8]) -> Option<usize> {
        let place = follow(path, false, |path| self.link(path)).ok()?;
        let (owner, piece) = self.piece(&place)?;
        matches!(piece, Piece::Link(_)).then_some(owner)
    }
}

impl Tree for View<'_, '_> {
    fn link(&self, path: &[u8]) -> Option<&[u8]> {
        if let Some((_, Piece::Link(target))) = self.piece(path) {
            return Some(target);
        }
        let merged = [
            (b"bin".as_slice(), b"usr/bin".as_slice()),
            (b"sbin", b"usr/sbin"),
            (b"lib", b"usr/lib"),
            (b"lib32", b"usr/lib32"),
            (b"lib64", b"usr/lib64"),
        ];
        let alias = merged.into_iter().find(|(name, _)| self.linker.rules.merged_usr && *name == path);
        alias.map(|(_, target)| target)
    }

    fn elf(&self, path: &[u8]) -> Option<&Elf> {
        match self.piece(path)?.1 {
            Piece::Elf(elf) => Some(elf),
            _ => None,
        }
    }
}

impl Linker<'_> {
    fn take(&mut self, number: usize, contents: Contents) {
        for (path, piece) in &contents.files {
            self.paths.entry(path.clone()).or_default().push(number);
            let Piece::Elf(elf) = piece else { continue };
            for name in [Some(path.name()), elf.soname.as_deref()].into_iter().flatten() {
                self.names.entry(name.into()).or_default().insert(number);
            }
        }
        self.contents.insert(number, contents);
    }

    /// What a package that stays needs: packages with the reason, and those that must be read first.
    fn settle(&self, number: usize) -> (Vec<(usize, Reason)>, Vec<usize>) {
        let Some(contents) = self.contents.get(&number) else { return (Vec::new(), vec![number]) };
        let (mut kept, mut unread) = (Vec::new(), Vec::new());
        let by = self.name(number);
        let reason = |file: &RootPath, need| Reason::Linked { by: by.clone(), file: file.to_string(), need };
        for (path, piece) in &contents.files {
            for (need, must) in needs(piece).into_iter().filter(|(_, must)| *must != Must::Nice) {
                match self.find(number, path, piece, &need, must) {
                    Outcome::Met | Outcome::Nowhere => {}
                    Outcome::By(other) => kept.push((other, reason(path, need))),
                    Outcome::Perhaps(packages) => unread.extend(packages),
                }
            }
        }
        // Other halves, and what an empty package is there for.
        for edge in self.edges.get(number).into_iter().flatten().filter(|edge| edge.to < self.own) {
            let need = if contents.bare {
                Need::Collection
            } else if edge.exact && self.same_source(number, edge.to) {
                match self.contents.get(&edge.to) {
                    None => {
                        unread.push(edge.to);
                        continue;
                    }
                    Some(half) if half.files.keys().all(is_documentation) => continue,
                    Some(_) => Need::Half,
                }
            } else {
                continue;
            };
            kept.push((edge.to, reason(&RootPath::root(), need)));
        }
        (kept, unread)
    }

    /// What is missing at the end: libraries, and in words what a tier may do without.
    fn judge(&self) -> (Vec<Missing>, Vec<String>) {
        let mut missing = Vec::new();
        // By package and need: the first file, and how many more.
        let mut lacks: BTreeMap<(usize, String), (&RootPath, usize)> = BTreeMap::new();
        for number in self.reasons.keys() {
            for (path, piece) in self.contents.get(number).iter().flat_map(|contents| &contents.files) {
                for (need, must) in needs(piece).into_iter().filter(|(_, must)| *must != Must::Quiet) {
                    let stays = |other: usize| other >= self.own || self.reasons.contains_key(&other);
                    if self.look(path, piece, &need, &stays).is_some() {
                        continue;
                    }
                    let allowed = |library: &str| library.split(", ").any(|one| self.rules.allow_missing.contains(one));
                    match need {
                        Need::Library(library) | Need::Loaded(library) if must == Must::Always => {
                            if !allowed(&library) {
                                missing.push(Missing { by: *number, file: path.clone(), library });
                            }
                        }
                        need => {
                            let lack = lacks.entry((*number, need.to_string()));
                            lack.and_modify(|(_, more)| *more += 1).or_insert((path, 0));
                        }
                    }
                }
            }
        }
        let word = |((number, need), (path, more)): ((usize, String), (&RootPath, usize))| {
            let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            format!("{path}{more} of {} {need}, which is not there", self.name(number))
        };
        (missing, lacks.into_iter().map(word).collect())
    }

    fn name(&self, number: usize) -> Box<str> {
        self.packages.get(number).map(|package| package.name.clone()).unwrap_or_default()
    }

    fn same_source(&self, one: usize, other: usize) -> bool {
        matches!((self.packages.get(one), self.packages.get(other)), (Some(one), Some(other)) if one.source == other.source)
    }

    /// Looks for what a file of a package needs: in the parent chain and what stays already, then
    /// among the dependencies of the package, the nearest first.
    fn find(&self, number: usize, path: &RootPath, piece: &Piece, need: &Need, must: Must) -> Outcome {
        let stays = |other: usize| other >= self.own || self.reasons.contains_key(&other);
        if self.look(path, piece, need, &stays).is_some() {
            return Outcome::Met;
        }
        let mut seen = BTreeSet::from([number]);
        let mut level = vec![number];
        let depth = if must == Must::Always { usize::MAX } else { NEAR };
        for _ in 0..depth {
            let next = level.iter().flat_map(|number| self.edges.get(*number).into_iter().flatten());
            let next: Vec<usize> = next.map(|edge| edge.to).filter(|to| *to < self.own).collect();
            level = next.into_iter().filter(|to| seen.insert(*to)).collect();
            if level.is_empty() {
                break;
            }
            let unread: Vec<usize> = level.iter().copied().filter(|to| !self.contents.contains_key(to)).collect();
            let visible = |other: usize| stays(other) || seen.contains(&other);
            if let Some(owner) = self.look(path, piece, need, &visible) {
                return Outcome::By(owner);
            }
            if !unread.is_empty() {
                return Outcome::Perhaps(unread);
            }
        }
        // A link at this very place, whose target lies further away: what it needs is its package's own need.
        let visible = |other: usize| stays(other) || seen.contains(&other);
        let place = match need {
            Need::Interpreter(name) => View { linker: self, visible: &visible }.link_owner(name.as_bytes()),
            _ => None,
        };
        place.map_or(Outcome::Nowhere, Outcome::By)
    }

    /// Who has it, among the visible.
    fn look(&self, path: &RootPath, piece: &Piece, need: &Need, visible: &dyn Fn(usize) -> bool) -> Option<usize> {
        let view = View { linker: self, visible };
        match (need, piece) {
            (Need::Library(name), Piece::Elf(elf)) => self.library(&view, path, elf, name.as_bytes()),
            (Need::Loaded(names), Piece::Elf(elf)) => {
                names.split(", ").find_map(|name| self.library(&view, path, elf, name.as_bytes()))
            }
            (Need::Interpreter(name), _) if !name.contains('/') => {
                let places = ["usr/local/bin", "usr/bin", "bin", "usr/sbin", "sbin"];
                places.into_iter().find_map(|folder| view.owner(format!("{folder}/{name}").as_bytes()))
            }
            (Need::Interpreter(name), _) => view.owner(name.as_bytes()),
            (Need::Target(target), Piece::Link(_)) => {
                let folder = path.parent().unwrap_or_default();
                let from = if target.starts_with('/') { Vec::new() } else { folder.as_bytes().to_vec() };
                let place = [&from, b"/".as_slice(), target.as_bytes()].concat();
                view.owner(&place)
            }
            _ => None,
        }
    }

    fn library(&self, view: &View<'_, '_>, path: &RootPath, elf: &Elf, name: &[u8]) -> Option<usize> {
        let asker = Asker { elf, path, above: &[] };
        if let Some(found) = self.loader.search(view, &asker, name) {
            return view.owner(found.real.as_bytes());
        }
        if name.contains(&b'/') {
            // The interpreter: no library to those who start programs.
            return view.owner(name);
        }
        // Who loads it may know the folder, or have loaded it before under this name.
        self.names.get(name)?.iter().copied().find(|owner| (view.visible)(*owner))
    }
}

/// How far away what is no library is looked for: git depends on perl, and perl on perl-base, which
/// has /usr/bin/perl. Further away everything has everything.
const NEAR: usize = 2;

/// Libraries that load others without a note: what loads, and what. libc ends threads and walks stacks
/// with the help of libgcc_s.
const LOADS: [(&[u8], &str); 1] = [(b"libc.so.6", "libgcc_s.so.1")];

/// How much a need weighs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Must {
    /// It is an error where nothing meets it.
    Always,
    /// It is followed, and a remark where nothing meets it.
    Follow,
    /// It is a remark only.
    Nice,
    /// It is followed; nobody is told.
    Quiet,
}

fn needs(piece: &Piece) -> Vec<(Need, Must)> {
    match piece {
        Piece::Elf(elf) => {
            let libraries = elf.interpreter.iter().chain(&elf.needed);
            let mut needs: Vec<_> = libraries.map(|name| (Need::Library(printable(name)), Must::Always)).collect();
            for note in &elf.dlopen {
                let must = if note.priority == Priority::Required { Must::Always } else { Must::Nice };
                if note.priority != Priority::Suggested {
                    needs.push((Need::Loaded(printable(note.sonames.join(", ").as_bytes())), must));
                }
            }
            let known = LOADS.iter().filter(|(library, _)| elf.soname.as_deref() == Some(library));
            needs.extend(known.map(|(_, loaded)| (Need::Loaded((*loaded).to_owned()), Must::Nice)));
            needs
        }
        Piece::Script(interpreter) => vec![(Need::Interpreter(printable(interpreter)), Must::Follow)],
        Piece::Link(target) => vec![(Need::Target(printable(target)), Must::Quiet)],
        Piece::Other => Vec::new(),
    }
}

/// Whether a path is one of Debian's folders for documentation.
pub fn is_documentation(path: &RootPath) -> bool {
    let folders = ["usr/share/doc", "usr/share/man", "usr/share/lintian", "usr/share/bug", "usr/share/info"];
    folders.iter().any(|folder| {
        let rest = path.as_bytes().strip_prefix(folder.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}
