//! A small ELF file without sections: one segment, and what the loader reads. The same bytes every
//! time.

/// Builds one. Everything lies in one segment at address 0, so that addresses are offsets.
#[derive(Debug, Clone)]
pub struct ElfBuilder {
    wide: bool,
    big_endian: bool,
    machine: u16,
    flags: u32,
    kind: u16,
    interpreter: Option<String>,
    /// Tag and text.
    entries: Vec<(u64, String)>,
    flags_1: u64,
    wants: Vec<(String, Vec<(String, bool)>)>,
    defines: Vec<String>,
    notes: Vec<(u32, String, Vec<u8>)>,
    /// Symbols that relocations name, and such as others find; `name` or `name@`.
    wanted: Vec<String>,
    given: Vec<String>,
}

const NEEDED: u64 = 1;
const SONAME: u64 = 14;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;

impl ElfBuilder {
    /// A library for x86-64 without a soname.
    pub fn new() -> Self {
        Self {
            wide: true,
            big_endian: false,
            machine: 62,
            flags: 0,
            kind: 3,
            interpreter: None,
            entries: Vec::new(),
            flags_1: 0,
            wants: Vec::new(),
            defines: Vec::new(),
            notes: Vec::new(),
            wanted: Vec::new(),
            given: Vec::new(),
        }
    }

    /// A library of this soname.
    pub fn library(soname: &str) -> Self {
        Self::new().entry(SONAME, soname)
    }

    /// A program with Debian's own loader for x86-64.
    pub fn program() -> Self {
        Self::new().interpreter("/lib64/ld-linux-x86-64.so.2")
    }

    /// For another machine (`e_machine`).
    pub fn machine(mut self, machine: u16, wide: bool, big_endian: bool, flags: u32) -> Self {
        (self.machine, self.wide, self.big_endian, self.flags) = (machine, wide, big_endian, flags);
        self
    }

    /// `e_type`
    pub fn kind(mut self, kind: u16) -> Self {
        self.kind = kind;
        self
    }

    pub fn interpreter(mut self, path: &str) -> Self {
        self.interpreter = Some(path.to_owned());
        self
    }

    pub fn entry(mut self, tag: u64, text: &str) -> Self {
        self.entries.push((tag, text.to_owned()));
        self
    }

    pub fn needed(self, name: &str) -> Self {
        self.entry(NEEDED, name)
    }

    pub fn rpath(self, list: &str) -> Self {
        self.entry(RPATH, list)
    }

    pub fn runpath(self, list: &str) -> Self {
        self.entry(RUNPATH, list)
    }

    /// `DF_1_NODEFLIB`
    pub fn no_default_libraries(mut self) -> Self {
        self.flags_1 = 0x800;
        self
    }

    /// Versions that it wants of a library; weak ones begin with `?`.
    pub fn wants(mut self, library: &str, versions: &[&str]) -> Self {
        let version = |name: &&str| (name.trim_start_matches('?').to_owned(), name.starts_with('?'));
        self.wants.push((library.to_owned(), versions.iter().map(version).collect()));
        self
    }

    /// Versions that it defines.
    pub fn defines(mut self, versions: &[&str]) -> Self {
        self.defines = versions.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    pub fn note(mut self, kind: u32, owner: &str, content: &[u8]) -> Self {
        self.notes.push((kind, owner.to_owned(), content.to_vec()));
        self
    }

    /// A dlopen note of one entry.
    pub fn dlopen(self, priority: &str, sonames: &[&str]) -> Self {
        let json = format!("[{{\"soname\":{sonames:?},\"priority\":\"{priority}\",\"feature\":\"f\"}}]\0");
        self.note(0x407c_0c0a, "FDO", json.as_bytes())
    }

    /// Symbols that it cannot do without; one that ends in `@` has the first version that it wants. Of 64 bits
    /// alone.
    pub fn uses(mut self, symbols: &[&str]) -> Self {
        self.wanted = symbols.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Symbols that others find; one that ends in `@` has the first version that it defines.
    pub fn gives(mut self, symbols: &[&str]) -> Self {
        self.given = symbols.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Its bytes.
    pub fn build(&self) -> Vec<u8> {
        let (header, segment) = if self.wide { (64, 56) } else { (52, 32) };
        let segments = 2 + usize::from(self.interpreter.is_some()) + usize::from(!self.notes.is_empty());
        let mut out = Out { bytes: vec![0; header + segments * segment], wide: self.wide, big_endian: self.big_endian };

        // The strings; the first is empty.
        let mut strings = vec![0];
        let mut string = |text: &str| {
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            (strings.len() - 1 - text.len()) as u64
        };
        let mut dynamic: Vec<(u64, u64)> = self.entries.iter().map(|(tag, text)| (*tag, string(text))).collect();
        let wants: Vec<_> = self
            .wants
            .iter()
            .map(|(name, versions)| {
                let versions: Vec<_> = versions.iter().map(|(name, weak)| (string(name), *weak)).collect();
                (string(name), versions)
            })
            .collect();
        // The first definition is the file's own.
        let own: Vec<&str> = if self.defines.is_empty() { Vec::new() } else { vec!["own"] };
        let defines: Vec<_> = own.into_iter().chain(self.defines.iter().map(|name| &**name)).map(&mut string).collect();
        let mut symbols = vec![(0, 0, 0)];
        for (names, section) in [(&self.wanted, 0), (&self.given, 1)] {
            let one =
                |name: &String| (string(name.trim_end_matches('@')), section, if name.ends_with('@') { 2 } else { 1 });
            symbols.extend(names.iter().map(one));
        }
        let strings_at = out.append(&strings);
        dynamic.extend([(5, strings_at), (10, strings.len() as u64)]);

        if !wants.is_empty() {
            out.align();
            dynamic.extend([(0x6fff_fffe, out.bytes.len() as u64), (0x6fff_ffff, wants.len() as u64)]);
            for (number, (library, versions)) in wants.iter().enumerate() {
                let size = 16 + 16 * versions.len() as u32;
                out.half(1);
                out.half(versions.len() as u16);
                out.word(*library as u32);
                out.word(16);
                out.word(if number + 1 < wants.len() { size } else { 0 });
                for (number, (name, weak)) in versions.iter().enumerate() {
                    out.word(0);
                    out.half(if *weak { 2 } else { 0 });
                    out.half(2);
                    out.word(*name as u32);
                    out.word(if number + 1 < versions.len() { 16 } else { 0 });
                }
            }
        }
        if !defines.is_empty() {
            out.align();
            dynamic.extend([(0x6fff_fffc, out.bytes.len() as u64), (0x6fff_fffd, defines.len() as u64)]);
            for (number, name) in defines.iter().enumerate() {
                out.half(1);
                out.half(if number == 0 { 1 } else { 0 });
                out.half(number as u16 + 1);
                out.half(1);
                out.word(0);
                out.word(20);
                out.word(if number + 1 < defines.len() { 28 } else { 0 });
                out.word(*name as u32);
                out.word(0);
            }
        }
        if symbols.len() > 1 {
            assert!(self.wide, "symbols of 32 bits are not written");
            out.align();
            dynamic.extend([(6, out.bytes.len() as u64), (11, 24)]);
            for (name, section, _) in &symbols {
                out.word(*name as u32);
                out.append(&[0x12, 0]); // STB_GLOBAL, STT_FUNC
                out.half(*section);
                out.address(0x10);
                out.address(0);
            }
            dynamic.push((0x6fff_fff0, out.bytes.len() as u64));
            symbols.iter().for_each(|(_, _, version)| out.half(*version));
            out.align();
            dynamic.push((4, out.bytes.len() as u64));
            // One bucket; nobody here follows its chain.
            out.word(1);
            out.word(symbols.len() as u32);
            (0..=symbols.len()).for_each(|_| out.word(0));
            out.align();
            dynamic.extend([(7, out.bytes.len() as u64), (8, 24 * self.wanted.len() as u64), (9, 24)]);
            for number in 1..=self.wanted.len() as u64 {
                out.address(0);
                out.address(number << 32 | 6);
                out.address(0);
            }
        }
        if self.flags_1 != 0 {
            dynamic.push((0x6fff_fffb, self.flags_1));
        }
        dynamic.push((0, 0));
        out.align();
        let dynamic_at = out.bytes.len() as u64;
        for (tag, value) in &dynamic {
            out.address(*tag);
            out.address(*value);
        }
        let dynamic_size = out.bytes.len() as u64 - dynamic_at;
        let interpreter = self.interpreter.as_ref().map(|path| {
            let text = [path.as_bytes(), b"\0"].concat();
            (out.append(&text), text.len() as u64)
        });
        out.align();
        let notes_at = out.bytes.len() as u64;
        for (kind, owner, content) in &self.notes {
            out.word(owner.len() as u32 + 1);
            out.word(content.len() as u32);
            out.word(*kind);
            out.append(&[owner.as_bytes(), b"\0"].concat());
            out.align_to(4);
            out.append(content);
            out.align_to(4);
        }
        let notes_size = out.bytes.len() as u64 - notes_at;

        let all = out.bytes.len() as u64;
        let mut table = vec![(1, 0, all), (2, dynamic_at, dynamic_size)];
        table.extend(interpreter.map(|(at, size)| (3, at, size)));
        table.extend((!self.notes.is_empty()).then_some((4, notes_at, notes_size)));
        let mut head = Out { bytes: Vec::new(), wide: self.wide, big_endian: self.big_endian };
        let class = if self.wide { 2 } else { 1 };
        let order = if self.big_endian { 2 } else { 1 };
        head.append(&[0x7f, b'E', b'L', b'F', class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        head.half(self.kind);
        head.half(self.machine);
        head.word(1);
        for value in [0, header as u64, 0] {
            head.address(value); // entry, program headers, section headers
        }
        head.word(self.flags);
        for value in [header, segment, segments, 0, 0, 0] {
            head.half(value as u16);
        }
        for (kind, at, size) in table {
            head.word(kind);
            if self.wide {
                head.word(4);
            }
            for value in [at, at, at, size, size] {
                head.address(value);
            }
            if !self.wide {
                head.word(4);
            }
            head.address(4);
        }
        out.bytes[..head.bytes.len()].copy_from_slice(&head.bytes);
        out.bytes
    }
}

struct Out {
    bytes: Vec<u8>,
    wide: bool,
    big_endian: bool,
}

impl Out {
    fn append(&mut self, bytes: &[u8]) -> u64 {
        self.bytes.extend_from_slice(bytes);
        (self.bytes.len() - bytes.len()) as u64
    }

    fn align(&mut self) {
        self.align_to(8);
    }

    fn align_to(&mut self, size: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(size), 0);
    }

    fn half(&mut self, value: u16) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn word(&mut self, value: u32) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn address(&mut self, value: u64) {
        match (self.wide, self.big_endian) {
            (true, true) => self.bytes.extend(value.to_be_bytes()),
            (true, false) => self.bytes.extend(value.to_le_bytes()),
            (false, _) => self.word(value as u32),
        }
    }
}
