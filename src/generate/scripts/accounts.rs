//! Users and groups that packages make: base-passwd's master files, sysusers.d(5), and calls of
//! adduser(8), useradd(8) and their like.

use std::collections::BTreeSet;

use super::{Effect, Item, files_below, name, start_of, table::TABLE};
use crate::{
    generate::{Accounts, Package, shell::Call},
    ground::{RootPath, Sha256},
    manifest::{Group, User, account_name_fault},
};

const NOLOGIN: &str = "/usr/sbin/nologin";
/// Ids that a package may get (adduser.conf(5)); 100 is Debian's group `users`.
const FIRST: u32 = 101;
const LAST: u32 = 999;

/// The number that a package's user or group gets where the package says none: by the name alone, so
/// that it does not change with the other packages of a tier, nor from one tier to another. Where it
/// is taken, the next one that is free.
pub fn system_id(name: &str, taken: impl Fn(u32) -> bool) -> Option<u32> {
    let digest = Sha256::of(name.as_bytes());
    let start = digest.as_bytes().iter().take(4).fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    let count = LAST - FIRST + 1;
    (0..count).map(|step| FIRST + (start % count + step) % count).find(|id| !taken(*id))
}

pub(super) struct Users<'a> {
    chain: &'a Accounts,
    users: Vec<User>,
    groups: Vec<Group>,
}

impl<'a> Users<'a> {
    pub(super) fn new(chain: &'a Accounts) -> Self {
        Self { chain, users: Vec::new(), groups: Vec::new() }
    }

    pub(super) fn finish(mut self) -> Accounts {
        // A table of accounts without root is none.
        if !self.users.is_empty() || !self.groups.is_empty() {
            self.fixed_user("root");
            self.fixed_group("root");
            self.users.sort_by_key(|user| user.name != "root");
            self.groups.sort_by_key(|group| group.name != "root");
        }
        Accounts { users: self.users, groups: self.groups }
    }

    /// Whether there is such a user or group, one of Debian's fixed ones counting.
    pub(super) fn known(&self, name: &str) -> bool {
        let fixed = |text: &str| text.lines().any(|line| line.split(':').next() == Some(name));
        self.user(name).is_some() || self.group(name).is_some() || fixed(&TABLE.passwd) || fixed(&TABLE.group)
    }

    fn user(&self, name: &str) -> Option<&User> {
        self.chain.users.iter().chain(&self.users).find(|user| user.name == name)
    }

    fn group(&self, name: &str) -> Option<&Group> {
        // Its own first: it may be one of the chain with a member more.
        self.groups.iter().chain(&self.chain.groups).find(|group| group.name == name)
    }

    fn gid_taken(&self, id: u32) -> bool {
        self.chain.groups.iter().chain(&self.groups).any(|group| group.gid == id)
    }

    /// Adds a user and a group of Debian's fixed ones, if there is one of this name.
    fn fixed_user(&mut self, name: &str) -> bool {
        if self.user(name).is_some() {
            return true;
        }
        let Some(user) = TABLE.passwd.lines().filter_map(passwd_line).find(|user| user.name == name) else {
            return false;
        };
        let group = TABLE.group.lines().filter_map(group_line).find(|group| group.gid == user.gid);
        self.users.push(user);
        if let Some(group) = group.filter(|group| !self.gid_taken(group.gid)) {
            self.fixed_group(&group.name);
        }
        true
    }

    fn fixed_group(&mut self, name: &str) -> bool {
        if self.group(name).is_some() {
            return true;
        }
        let group = TABLE.group.lines().filter_map(group_line).find(|group| group.name == name);
        let found = group.is_some();
        self.groups.extend(group);
        found
    }

    /// The number of a user by name or number; one of Debian's fixed ones is added.
    pub(super) fn uid(&mut self, name: &str) -> Option<u32> {
        match name.parse() {
            Ok(id) => Some(id),
            Err(_) if name == "root" => Some(0),
            Err(_) => self.fixed_user(name).then(|| self.user(name).map(|user| user.uid)).flatten(),
        }
    }

    /// The number of a group, likewise.
    pub(super) fn gid(&mut self, name: &str) -> Option<u32> {
        match name.parse() {
            Ok(id) => Some(id),
            Err(_) if name == "root" => Some(0),
            Err(_) => self.fixed_group(name).then(|| self.group(name).map(|group| group.gid)).flatten(),
        }
    }

    /// The group of a user's line, by name or number; as with chown(1), the user must be there.
    pub(super) fn login_group(&mut self, name: &str) -> Option<u32> {
        match name.parse::<u32>() {
            Ok(id) => self.chain.users.iter().chain(&self.users).find(|user| user.uid == id).map(|user| user.gid),
            Err(_) if name == "root" => Some(0),
            Err(_) => self.fixed_user(name).then(|| self.user(name).map(|user| user.gid)).flatten(),
        }
    }

    /// base-passwd's postinst makes /etc/passwd and /etc/group of these.
    pub(super) fn master_files(&mut self, package: &Package<'_>) {
        if &*package.name.name != "base-passwd" {
            return;
        }
        for (path, text) in files_below(package, b"/usr/share/base-passwd") {
            let text = text.unwrap_or_default();
            match path.name() {
                b"passwd.master" => {
                    for user in text.lines().filter_map(passwd_line) {
                        if self.user(&user.name).is_none() {
                            self.users.push(user);
                        }
                    }
                }
                b"group.master" => {
                    for group in text.lines().filter_map(group_line) {
                        if self.group(&group.name).is_none() {
                            self.groups.push(group);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Lines of sysusers.d(5): `u`, `g` and `m`; `r` only bounds numbers, which are chosen otherwise.
    pub(super) fn sysusers(&mut self, package: &Package<'_>, items: &mut Vec<Item>) {
        for (path, text) in files_below(package, b"/usr/lib/sysusers.d") {
            let mut odd = text.is_none().then(|| "it is no text".to_owned());
            for line in text.iter().flat_map(|text| text.lines()).map(str::trim) {
                if line.is_empty() || line.starts_with(['#', ';']) {
                    continue;
                }
                if self.sysusers_line(&fields(line)).is_none() {
                    odd.get_or_insert_with(|| format!("the line {:?} is not understood", start_of(line)));
                }
            }
            items.push(Item {
                package: package.name.clone(),
                member: path.to_string(),
                effect: if odd.is_some() { Effect::Unhandled } else { Effect::Made("sysusers") },
                reason: odd.unwrap_or_else(|| "generate.sysusers".into()),
                fingerprint: None,
            });
        }
    }

    fn sysusers_line(&mut self, fields: &[String]) -> Option<()> {
        let field = |at: usize| fields.get(at).map(String::as_str).filter(|field| *field != "-" && !field.is_empty());
        if fields.iter().any(|field| field.contains('%')) {
            return None;
        }
        match fields.first()?.trim_end_matches('!') {
            "u" => {
                let name = field(1)?;
                let (uid, gid) = match field(2) {
                    None => (None, None),
                    Some(id) if id.starts_with('/') => (None, None),
                    Some(id) => {
                        let (uid, gid) = id.split_once(':').map_or((id, None), |(uid, gid)| (uid, Some(gid)));
                        let uid = if uid == "-" { None } else { Some(uid.parse().ok()?) };
                        (uid, gid)
                    }
                };
                let gid = match gid {
                    Some(gid) => self.gid(gid)?,
                    None => self.add_group(name, uid)?,
                };
                let shell = field(5).unwrap_or(NOLOGIN);
                self.add_user(name, uid, gid, field(3).unwrap_or_default(), field(4).unwrap_or("/"), shell)
            }
            "g" => {
                let gid = match field(2) {
                    Some(id) if !id.starts_with('/') => Some(id.parse().ok()?),
                    _ => None,
                };
                self.add_group(field(1)?, gid).map(drop)
            }
            "m" => {
                self.add_group(field(2)?, None)?;
                self.member(field(1)?, field(2)?)
            }
            "r" => Some(()),
            _ => None,
        }
    }

    fn add_group(&mut self, name: &str, wanted: Option<u32>) -> Option<u32> {
        if let Some(group) = self.group(name) {
            return Some(group.gid);
        }
        if self.fixed_group(name) {
            return self.group(name).map(|group| group.gid);
        }
        let name = account_name(name)?;
        let taken: BTreeSet<u32> = self.chain.groups.iter().chain(&self.groups).map(|group| group.gid).collect();
        let gid = number(&name, wanted, &taken)?;
        self.groups.push(Group { span: 0..0, name, gid, members: Vec::new() });
        Some(gid)
    }

    fn add_user(
        &mut self,
        name: &str,
        wanted: Option<u32>,
        gid: u32,
        gecos: &str,
        home: &str,
        shell: &str,
    ) -> Option<()> {
        // Debian's fixed ones are there before any package, as Debian has them.
        if self.fixed_user(name) {
            return Some(());
        }
        let name = account_name(name)?;
        let taken: BTreeSet<u32> = self.chain.users.iter().chain(&self.users).map(|user| user.uid).collect();
        let uid = number(&name, wanted, &taken)?;
        let user = User {
            span: 0..0,
            name,
            uid,
            gid,
            gecos: if gecos.is_empty() { String::new() } else { sound(gecos)? },
            home: home_path(home)?,
            home_mode: 0o755,
            shell: sound(shell)?,
        };
        self.users.push(user);
        Some(())
    }

    fn member(&mut self, user: &str, group: &str) -> Option<()> {
        self.user(user)?;
        let mut known = self.group(group)?.clone();
        if !known.members.iter().any(|member| member == user) {
            known.members.push(user.to_owned());
            self.groups.retain(|other| other.name != group);
            self.groups.push(known);
        }
        Some(())
    }

    /// Does what a call of adduser and its like would do; `false` where it is not understood.
    pub(super) fn call(&mut self, call: &Call) -> bool {
        let Some(program) = name(call) else { return false };
        let words: Vec<&str> = call.words.iter().skip(1).filter_map(|word| word.as_deref()).collect();
        match program {
            "adduser" | "useradd" => self.user_call(program, &words),
            "addgroup" | "groupadd" => self.group_call(program, &words),
            _ => None,
        }
        .is_some()
    }

    fn user_call(&mut self, program: &str, words: &[&str]) -> Option<()> {
        let adduser = program == "adduser";
        let mut wish = Wish::read(words, adduser)?;
        if adduser && !wish.system && wish.names.len() == 2 {
            return self.member(wish.names[0], wish.names[1]);
        }
        let [name] = wish.names.as_slice() else { return None };
        if !wish.system {
            return None;
        }
        if self.fixed_user(name) {
            return Some(());
        }
        if wish.id == Some(0) || account_name(name).is_none() {
            return None;
        }
        let gid = match wish.ingroup.take() {
            Some(group) => self.gid(group)?,
            None if wish.group || !adduser => self.add_group(name, wish.id)?,
            None => self.gid("nogroup")?,
        };
        let home = wish.home.unwrap_or("/nonexistent");
        self.add_user(name, wish.id, gid, wish.gecos.unwrap_or_default(), home, wish.shell.unwrap_or(NOLOGIN))
    }

    fn group_call(&mut self, program: &str, words: &[&str]) -> Option<()> {
        let wish = Wish::read(words, program == "addgroup")?;
        let [name] = wish.names.as_slice() else { return None };
        let gid = wish.ingroup.map(str::parse).transpose().ok()?.or(wish.id);
        (wish.system || gid.is_some()).then_some(())?;
        self.add_group(name, gid).map(drop)
    }
}

/// What a call asks for.
#[derive(Default)]
struct Wish<'a> {
    system: bool,
    group: bool,
    id: Option<u32>,
    ingroup: Option<&'a str>,
    home: Option<&'a str>,
    gecos: Option<&'a str>,
    shell: Option<&'a str>,
    names: Vec<&'a str>,
}

impl<'a> Wish<'a> {
    fn read(words: &[&'a str], adduser: bool) -> Option<Self> {
        let mut wish = Self::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            if !word.starts_with('-') {
                wish.names.push(word);
                continue;
            }
            let (option, attached) = word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)));
            let mut value = || attached.or_else(|| words.next());
            match option {
                "--system" | "-r" => wish.system = true,
                "--group" if adduser => wish.group = true,
                "-U" | "--user-group" => wish.group = true,
                "--uid" | "-u" => wish.id = Some(value()?.parse().ok()?),
                "--gid" | "-g" | "--ingroup" | "--group" => wish.ingroup = Some(value()?),
                "--home" | "--home-dir" | "-d" => wish.home = Some(value()?),
                "--gecos" | "--comment" | "-c" => wish.gecos = Some(value()?),
                "--shell" | "-s" => wish.shell = Some(value()?),
                "--no-create-home"
                | "-M"
                | "--quiet"
                | "-q"
                | "--disabled-login"
                | "--disabled-password"
                | "--force-badname"
                | "--allow-bad-names"
                | "--allow-badname"
                | "--force"
                | "-f"
                | "--allow-all-names" => {}
                _ => return None,
            }
        }
        Some(wish)
    }
}

/// The number that is asked for, where nobody has it, or that of the name. A package gets none with the
/// rights of root: who wants that says so in [[users]].
fn number(name: &str, wanted: Option<u32>, taken: &BTreeSet<u32>) -> Option<u32> {
    if wanted == Some(0) {
        return None;
    }
    wanted.filter(|id| !taken.contains(id)).or_else(|| system_id(name, |id| taken.contains(&id)))
}

/// A name as manifests may have it, too.
fn account_name(name: &str) -> Option<String> {
    account_name_fault(name).is_none().then(|| name.to_owned())
}

/// A text that can stand in a field of passwd(5).
fn sound(text: &str) -> Option<String> {
    let good =
        !text.is_empty() && text.len() <= 255 && !text.contains([':', '\n', ',']) && !text.contains(char::is_control);
    good.then(|| text.to_owned())
}

fn home_path(home: &str) -> Option<Option<RootPath>> {
    if home == "/nonexistent" {
        return Some(None);
    }
    sound(home)?;
    RootPath::from_absolute(home.as_bytes()).ok().map(Some)
}

fn passwd_line(line: &str) -> Option<User> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, _, uid, gid, gecos, home, shell] = fields.as_slice() else { return None };
    Some(User {
        span: 0..0,
        name: sound(name)?,
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        gecos: (*gecos).to_owned(),
        home: home_path(home)?,
        home_mode: 0o755,
        shell: sound(shell)?,
    })
}

fn group_line(line: &str) -> Option<Group> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, _, gid, members] = fields.as_slice() else { return None };
    let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
    Some(Group { span: 0..0, name: sound(name)?, gid: gid.parse().ok()?, members })
}

/// Fields parted by blanks, with `"..."` around those that hold some.
fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut open: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                open.get_or_insert_default();
            }
            None if c.is_whitespace() => fields.extend(open.take()),
            _ => open.get_or_insert_default().push(c),
        }
    }
    fields.extend(open);
    fields
}
