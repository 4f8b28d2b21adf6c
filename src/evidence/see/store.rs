//! A [`Listing`] as bytes that are kept among the derived data, so that no view composes a tier twice.
//!
//! ```text
//! 16 bytes  what it is, and its version
//! 32 bytes  SHA-256 of the rest
//!           numbers as LEB128, texts with their length before them, lists with their count
//! ```

use std::{fs::File, io};

use super::{Account, Item, Kind, Listing, Members, Origin, Owned, Place};
use crate::ground::{RootPath, Sha256, put_leb128, read_at_most, take_leb128};

/// Rises with the layout; others are made anew.
const MAGIC: &[u8; 16] = b"debstrata see 1\n";
/// Bytes of one listing; that of a million paths has some 100 MB.
const LONGEST: u64 = 1 << 30;

impl Listing {
    /// Bytes for the cache.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.list(&self.tiers, |out, name| out.text(name.as_bytes()));
        out.list(&self.packages, |out, package| {
            [&package.name, &package.version, &package.architecture]
                .into_iter()
                .for_each(|text| out.text(text.as_bytes()));
            out.number(package.stage as u64);
            out.number(package.wished.is_some().into());
            package.wished.iter().for_each(|place| out.place(place));
        });
        out.list(&self.users, |out, user| {
            [&user.name, &user.home, &user.shell].into_iter().for_each(|text| out.text(text.as_bytes()));
            [user.uid, user.gid].into_iter().for_each(|number| out.number(number.into()));
        });
        out.list(&self.groups, |out, group| {
            out.text(group.name.as_bytes());
            out.number(group.gid.into());
            out.list(&group.members, |out, name| out.text(name.as_bytes()));
        });
        out.list(&self.items, Writer::item);
        [MAGIC.as_slice(), Sha256::of(&out.0).as_bytes(), &out.0].concat()
    }

    /// What [`Listing::to_bytes`] wrote; `None` where it is anything else, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (digest, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
        if Sha256::of(body).as_bytes() != digest {
            return None;
        }
        let mut from = Reader(body);
        let listing = Self {
            tiers: from.list(|from| from.boxed())?,
            packages: from.list(|from| {
                Some(Owned {
                    name: from.boxed()?,
                    version: from.boxed()?,
                    architecture: from.boxed()?,
                    stage: from.place_in_list()?,
                    wished: match from.number()? {
                        0 => None,
                        _ => Some(from.place()?),
                    },
                })
            })?,
            users: from.list(|from| {
                let (name, home, shell) = (from.boxed()?, from.boxed()?, from.boxed()?);
                Some(Account { name, uid: from.small()?, gid: from.small()?, home, shell })
            })?,
            groups: from.list(|from| {
                Some(Members { name: from.boxed()?, gid: from.small()?, members: from.list(|from| from.boxed())? })
            })?,
            items: from.list(Reader::item)?,
        };
        from.0.is_empty().then_some(listing)
    }

    /// The same of a file of the cache.
    pub fn read(file: File) -> io::Result<Option<Self>> {
        match read_at_most(file, LONGEST) {
            Ok(bytes) => Ok(Self::from_bytes(&bytes)),
            Err(error) => Err(error),
        }
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u64) {
        put_leb128(&mut self.0, number);
    }

    fn text(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn list<T>(&mut self, items: &[T], one: impl Fn(&mut Self, &T)) {
        self.number(items.len() as u64);
        items.iter().for_each(|item| one(self, item));
    }

    fn place(&mut self, place: &Place) {
        self.text(place.file.as_bytes());
        self.number(place.line as u64);
    }

    fn item(&mut self, item: &Item) {
        self.text(item.path.as_bytes());
        match &item.kind {
            Kind::Directory => self.number(0),
            Kind::Link(target) => {
                self.number(1);
                self.text(target);
            }
            Kind::File { size, same_file_as } => {
                self.number(2);
                self.number(*size);
                self.number(same_file_as.map_or(0, |first| first as u64 + 1));
            }
        }
        for number in [item.mode.into(), item.uid.into(), item.gid.into(), item.stage as u64] {
            self.number(number);
        }
        match &item.origin {
            Origin::Implied => self.number(0),
            Origin::Image(layer) => {
                self.number(4);
                self.text(layer.as_bytes());
            }
            Origin::Package(number) => {
                self.number(1);
                self.number(*number as u64);
            }
            Origin::Generator { name, stage } => {
                self.number(2);
                self.text(name.as_bytes());
                self.number(*stage as u64);
            }
            Origin::Manifest { key, place } => {
                self.number(3);
                self.text(key.as_bytes());
                self.place(place);
            }
        }
    }
}

/// `None` where it is not what [`Writer`] wrote.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        take_leb128(&mut self.0)
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn place_in_list(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let count = self.place_in_list()?;
        let (text, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(text)
    }

    fn boxed(&mut self) -> Option<Box<str>> {
        Some(std::str::from_utf8(self.text()?).ok()?.into())
    }

    /// A list ends with the bytes at the latest, so its length needs no bound.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(one(self)?);
        }
        Some(items)
    }

    fn place(&mut self) -> Option<Place> {
        Some(Place { file: self.boxed()?, line: self.place_in_list()? })
    }

    fn item(&mut self) -> Option<Item> {
        let path = RootPath::from_archive(self.text()?).ok()?;
        let kind = match self.number()? {
            0 => Kind::Directory,
            1 => Kind::Link(self.text()?.into()),
            2 => {
                let (size, first) = (self.number()?, self.place_in_list()?);
                Kind::File { size, same_file_as: first.checked_sub(1) }
            }
            _ => return None,
        };
        Some(Item {
            path,
            kind,
            mode: self.number()?.try_into().ok()?,
            uid: self.small()?,
            gid: self.small()?,
            stage: self.place_in_list()?,
            origin: match self.number()? {
                0 => Origin::Implied,
                1 => Origin::Package(self.place_in_list()?),
                2 => Origin::Generator { name: self.boxed()?, stage: self.place_in_list()? },
                3 => Origin::Manifest { key: self.boxed()?, place: self.place()? },
                4 => Origin::Image(self.boxed()?),
                _ => return None,
            },
        })
    }
}
