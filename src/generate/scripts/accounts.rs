//! Users and groups that packages make: base-passwd's master files, sysusers.d(5), and calls of
//! adduser(8), useradd(8) and their like.

use super::{Effect, Item, files_below, name, shown, table::TABLE};
use crate::{
    generate::{Accounts, Package, shell::Call},
    ground::{RootPath, Sha256},
    manifest::{Group, User},
};

const NOLOGIN: &str = "/usr/sbin/nologin";
/// Ids that a package may get (adduser.conf(5)); 100 is Debian's group `users`.
const FIRST: u32 = 101;
const LAST: u32 = 999;
/// More users, and more groups, than any set of packages makes.
const MOST: usize = 4_000;

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

    fn uid_taken(&self, id: u32) -> bool {
        self.chain.users.iter().chain(&self.users).any(|user| user.uid == id)
    }

    fn gid_taken(&self, id: u32) -> bool {
        self.chain.groups.iter().chain(&self.groups).any(|group| group.gid == id)
    }

    /// Whether a package may have this number for a user or group that Debian gives none: never root's,
    /// nor another one of Debian's fixed ones, nor those that stand for none.
    fn may_have(id: u32) -> bool {
        let fixed =
            |text: &str| text.lines().any(|line| line.split(':').nth(2).is_some_and(|field| field.parse() == Ok(id)));
        ![0, 65535, u32::MAX].contains(&id) && !fixed(&TABLE.passwd) && !fixed(&TABLE.group)
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
            Ok(u32::MAX) => None,
            Ok(id) => Some(id),
            Err(_) if name == "root" => Some(0),
            Err(_) => self.fixed_user(name).then(|| self.user(name).map(|user| user.uid)).flatten(),
        }
    }

    /// The number of a group, likewise.
    pub(super) fn gid(&mut self, name: &str) -> Option<u32> {
        match name.parse() {
            Ok(u32::MAX) => None,
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

    /// base-passwd's postinst makes /etc/passwd and /etc/group of these. A name or a number that the
    /// chain has already stays whose it is.
    pub(super) fn master_files(&mut self, package: &Package<'_>, items: &mut Vec<Item>) {
        if &*package.name.name != "base-passwd" {
            return;
        }
        for (path, text) in files_below(package, b"/usr/share/base-passwd") {
            if !path.name().ends_with(b".master") {
                continue;
            }
            let mut odd = text.is_none().then(|| "it is no text".to_owned());
            for line in text.iter().flat_map(|text| text.lines()) {
                let known = match path.name() {
                    b"passwd.master" => passwd_line(line).and_then(|user| self.master_user(user)),
                    _ => group_line(line).and_then(|group| self.master_group(group)),
                };
                if known.is_none() {
                    odd.get_or_insert_with(|| format!("the line `{}` is not taken", shown(line)));
                }
            }
            if let Some(reason) = odd {
                let (package, member) = (package.name.clone(), path.to_string());
                items.push(Item { package, member, effect: Effect::Unhandled, reason, fingerprint: None });
            }
        }
    }

    fn master_user(&mut self, user: User) -> Option<()> {
        if self.user(&user.name).is_none() && !self.uid_taken(user.uid) {
            (self.users.len() < MOST && (user.uid != 0 || user.name == "root")).then_some(())?;
            self.users.push(user);
        }
        Some(())
    }

    fn master_group(&mut self, group: Group) -> Option<()> {
        if self.group(&group.name).is_none() && !self.gid_taken(group.gid) {
            (self.groups.len() < MOST && (group.gid != 0 || group.name == "root")).then_some(())?;
            self.groups.push(group);
        }
        Some(())
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
                    odd.get_or_insert_with(|| format!("the line `{}` is not understood", shown(line)));
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
        if self.groups.len() >= MOST || wanted.is_some_and(|id| !Self::may_have(id)) {
            return None;
        }
        let free = wanted.filter(|id| !self.gid_taken(*id));
        let gid = free.or_else(|| system_id(name, |id| self.gid_taken(id)))?;
        self.groups.push(Group { span: 0..0, name: account_name(name)?, gid, members: Vec::new() });
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
        if self.user(name).is_some() || self.fixed_user(name) {
            return Some(());
        }
        if self.users.len() >= MOST || wanted.is_some_and(|id| !Self::may_have(id)) {
            return None;
        }
        let free = wanted.filter(|id| !self.uid_taken(*id));
        let uid = free.or_else(|| system_id(name, |id| self.uid_taken(id)))?;
        let user = User {
            span: 0..0,
            name: account_name(name)?,
            uid,
            gid,
            gecos: field(gecos)?,
            home: home_path(home)?,
            home_mode: 0o755,
            shell: shell_path(shell)?,
        };
        self.users.push(user);
        Some(())
    }

    /// Not into a group that a manifest declares, nor into root's.
    fn member(&mut self, user: &str, group: &str) -> Option<()> {
        self.user(user)?;
        let mut known = self.group(group)?.clone();
        // What a package made has no place in a manifest.
        if known.gid == 0 || !known.span.is_empty() && !known.members.iter().any(|member| member == user) {
            return None;
        }
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
        if self.user(name).is_some() || self.fixed_user(name) {
            return Some(());
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

/// A name as adduser(8) takes it, in capitals too.
fn account_name(text: &str) -> Option<String> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let good = text.len() <= 32
        && text.starts_with(first)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    good.then(|| text.to_owned())
}

/// A text that can stand in a field of passwd(5).
fn field(text: &str) -> Option<String> {
    let good = text.len() <= 255 && !text.contains(':') && !text.contains(char::is_control);
    good.then(|| text.to_owned())
}

fn shell_path(shell: &str) -> Option<String> {
    field(shell).filter(|shell| shell.starts_with('/'))
}

fn home_path(home: &str) -> Option<Option<RootPath>> {
    if home == "/nonexistent" {
        return Some(None);
    }
    field(home)?;
    RootPath::from_absolute(home.as_bytes()).ok().map(Some)
}

fn passwd_line(line: &str) -> Option<User> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, _, uid, gid, gecos, home, shell] = fields.as_slice() else { return None };
    Some(User {
        span: 0..0,
        name: account_name(name)?,
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        gecos: field(gecos)?,
        home: home_path(home)?,
        home_mode: 0o755,
        shell: shell_path(shell)?,
    })
}

fn group_line(line: &str) -> Option<Group> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, _, gid, members] = fields.as_slice() else { return None };
    let members = members.split(',').filter(|member| !member.is_empty()).map(account_name).collect::<Option<_>>()?;
    Some(Group { span: 0..0, name: account_name(name)?, gid: gid.parse().ok()?, members })
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
