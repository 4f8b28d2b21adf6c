//! Reads `[image]` and `[variants]`: what could never run is refused here. Whether a named user is there
//! is seen when the tier is composed, since packages make accounts too.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Image, Variant, account_name_fault,
    error::{Findings, Topic},
    scalar,
    shape::{self, Fields, Value},
};
use crate::ground::{RootPath, Spanned, nearest, printable};

/// The signals of Linux that have one name on all architectures (signal(7)), without `SIG`.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
/// The largest number of a signal (SIGRTMAX).
const LAST_SIGNAL: u32 = 64;
/// A variant's name in bytes: a tag of a registry has 128 at most, of which a tier's name may take 64, and
/// two variants with their hyphens stand behind it.
const LONGEST_VARIANT: usize = 31;

/// `[image]` of a tier.
pub(super) fn read(fields: &mut Fields, findings: &mut Findings) -> Image {
    fields.take::<Fields>("image").map(|mut table| image(&mut table, findings)).unwrap_or_default()
}

/// `[variants]` of a tier, by name.
pub(super) fn variants(fields: &mut Fields, findings: &mut Findings) -> Vec<Variant> {
    let tables = fields.take::<Vec<(Spanned<String>, Spanned<Fields>)>>("variants").unwrap_or_default();
    let mut all = Vec::new();
    for (name, mut table) in tables {
        if let Some(fault) = name_fault(&name.value) {
            let message = format!("no variant can be called {:?}", printable(name.value.as_bytes()));
            findings
                .error(Topic::BadValue, name.span.clone(), message, fault)
                .help("names are lower-case letters, digits, `-` and `.`: they become a part of a tag");
        }
        let overlay = table.value.spanned("overlay");
        all.push(Variant { name, image: image(&mut table.value, findings), overlay });
    }
    all.sort_by(|a: &Variant, b| a.name.value.cmp(&b.name.value));
    all
}

fn name_fault(name: &str) -> Option<&'static str> {
    if name.len() > LONGEST_VARIANT {
        return Some("longer than 31 bytes");
    }
    if name == "latest" {
        return Some("what docker calls the plain image");
    }
    (!scalar::is_tier_name(name) || name.contains('+')).then_some("not a part of a tag")
}

fn image(table: &mut Fields, findings: &mut Findings) -> Image {
    Image {
        user: text_or_number(table.spanned("user")).and_then(|user| account(user, findings)),
        workdir: table.take("workdir"),
        entrypoint: words(table, "entrypoint", findings),
        cmd: words(table, "cmd", findings),
        env: map(table, "env", &variable_fault, findings),
        labels: map(table, "labels", &label_fault, findings),
        annotations: map(table, "annotations", &label_fault, findings),
        volumes: volumes(table, findings),
        exposed_ports: ports(table, findings),
        stop_signal: text_or_number(table.spanned("stop-signal")).and_then(|signal| stop_signal(signal, findings)),
    }
}

/// A number as it would be written in a string.
fn text_or_number(value: Option<Spanned<Value>>) -> Option<Spanned<String>> {
    let value = value?;
    match value.value {
        Value::Id(id) => Some(Spanned::new(id.to_string(), value.span)),
        Value::Text(text) => Some(Spanned::new(text, value.span)),
        _ => None,
    }
}

fn account(user: Spanned<String>, findings: &mut Findings) -> Option<String> {
    let mut from = 0;
    let mut good = true;
    for (at, part) in user.value.split(':').enumerate() {
        let number = digits(part);
        let fault = match part.parse::<u32>() {
            _ if at > 1 => Some("one colon at most"),
            Ok(id) if number => (id == u32::MAX).then_some("the number that means no user at all"),
            Err(_) if number => Some("ids have 32 bits"),
            _ => account_name_fault(part),
        };
        if let Some(fault) = fault {
            let span = shape::part(&findings.source, &user.span, &user.value, &(from..from + part.len()));
            let help = "a user's name or number, alone or with a group: \"app\", 65532, \"app:www-data\", \"0:0\"";
            findings.error(Topic::BadValue, span, "`user` names nobody", fault).help(help);
            good = false;
            break;
        }
        from += part.len() + 1;
    }
    good.then_some(user.value)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Programs get their arguments and their environment as C strings.
fn nul(text: &str) -> Option<&'static str> {
    text.contains('\0').then_some("a NUL byte ends a string here")
}

fn words(table: &mut Fields, key: &str, findings: &mut Findings) -> Option<Vec<String>> {
    let words: Vec<Spanned<String>> = table.take(key)?;
    for (at, word) in words.iter().enumerate() {
        let nothing = at == 0 && key == "entrypoint" && word.value.is_empty();
        if let Some(fault) = nul(&word.value).or(nothing.then_some("an empty name")) {
            let message = format!("`{key}` cannot be run");
            findings.error(Topic::BadValue, word.span.clone(), message, fault);
        }
    }
    Some(words.into_iter().map(|word| word.value).collect())
}

fn variable_fault(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("an empty name"),
        name if name.contains('=') => Some("the name ends at `=`"),
        name => nul(name),
    }
}

fn label_fault(key: &str) -> Option<&'static str> {
    match key {
        "" => Some("an empty key"),
        key => key.chars().any(char::is_control).then_some("a control character"),
    }
}

fn map(
    table: &mut Fields,
    key: &str,
    name_fault: &dyn Fn(&str) -> Option<&'static str>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, value) in table.take::<Vec<(Spanned<String>, Spanned<String>)>>(key).unwrap_or_default() {
        if let Some(fault) = name_fault(&name.value) {
            let message = format!("no key of `{key}` can be called {:?}", printable(name.value.as_bytes()));
            findings.error(Topic::BadValue, name.span, message, fault);
        }
        if let Some(fault) = nul(&value.value) {
            findings.error(Topic::BadValue, value.span, format!("`{key}` cannot hold this"), fault);
        }
        all.insert(name.value, value.value);
    }
    all
}

fn volumes(table: &mut Fields, findings: &mut Findings) -> BTreeSet<RootPath> {
    let volumes: Vec<Spanned<RootPath>> = table.list("volumes");
    for volume in volumes.iter().filter(|volume| volume.value.is_root()) {
        findings.error(Topic::Path, volume.span.clone(), "`/` cannot be a volume", "it is the image itself");
    }
    volumes.into_iter().map(|volume| volume.value).collect()
}

fn ports(table: &mut Fields, findings: &mut Findings) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for port in table.list::<Value>("exposed-ports") {
        let Some(port) = text_or_number(Some(port)) else { continue };
        let (number, protocol) = port.value.split_once('/').unwrap_or((&port.value, "tcp"));
        let plain = digits(number) && !number.starts_with('0');
        let fault = match number.parse::<u16>() {
            _ if !["tcp", "udp", "sctp"].contains(&protocol) => "the protocol is tcp, udp or sctp",
            Ok(_) if plain => {
                all.insert(format!("{number}/{protocol}"));
                continue;
            }
            _ if number.contains('-') => "write each port by itself",
            _ => "ports are 1 to 65535",
        };
        let message = format!("{} is no port", printable(port.value.as_bytes()));
        findings.error(Topic::BadValue, port.span, message, fault).help("write 8080, \"8080/tcp\" or \"53/udp\"");
    }
    all
}

fn stop_signal(signal: Spanned<String>, findings: &mut Findings) -> Option<String> {
    let name = signal.value.as_str();
    if digits(name) && name.parse::<u32>().is_ok_and(|number| (1..=LAST_SIGNAL).contains(&number)) {
        return Some(signal.value);
    }
    let known = name.strip_prefix("SIG").is_some_and(|short| SIGNALS.contains(&short) || is_real_time(short));
    if known {
        return Some(signal.value);
    }
    let full: Vec<String> = SIGNALS.iter().map(|short| format!("SIG{short}")).collect();
    let wanted = name.to_ascii_uppercase();
    let wanted = if wanted.starts_with("SIG") { wanted } else { format!("SIG{wanted}") };
    let help = match nearest(&wanted, full.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => "a name such as SIGTERM or SIGRTMIN+3, or a number from 1 to 64".to_owned(),
    };
    let message = format!("{:?} is no signal", printable(name.as_bytes()));
    findings.error(Topic::BadValue, signal.span, message, "not among those of Linux").help(help);
    None
}

/// `RTMIN`, `RTMAX`, `RTMIN+3`, `RTMAX-2`: as many as signal(7) has.
fn is_real_time(short: &str) -> bool {
    let within = |rest: &str, sign| match rest.strip_prefix(sign) {
        Some(number) => digits(number) && number.parse::<u8>().is_ok_and(|number| (1..=30).contains(&number)),
        None => rest.is_empty(),
    };
    short.strip_prefix("RTMIN").is_some_and(|rest| within(rest, '+'))
        || short.strip_prefix("RTMAX").is_some_and(|rest| within(rest, '-'))
}
