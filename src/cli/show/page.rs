//! `show TIER`: all about one tier.

use super::{Large, Listed};
use crate::{
    evidence::{
        see::Listing,
        table::{Align, bytes, table},
    },
    ground::printable,
    pipeline::{ShownConfig, ShownTier},
};

/// How many of the largest files are shown.
const LARGEST: usize = 10;

/// What a listing adds to a tier's JSON.
pub(super) fn listed(listing: &Listing) -> Listed<'_> {
    let large = |item: &crate::evidence::see::Item| Large {
        path: item.path.to_string(),
        size: Listing::own_size(item),
        tier: listing.tier(item.stage).to_owned(),
        origin: listing.origin(item),
    };
    Listed {
        paths: listing.items.len(),
        files_size: listing.size(),
        users: &listing.users,
        groups: &listing.groups,
        largest_files: listing.largest(LARGEST).into_iter().map(large).collect(),
    }
}

/// A page of text.
pub(super) fn page(tier: &ShownTier, listing: Option<&Listing>) -> String {
    let mut text = format!("{}/{} {}: {}\n", tier.distribution, tier.tier, tier.architecture, plain(&tier.summary));
    let chain: Vec<_> = tier.layers.iter().map(|layer| layer.tier.as_str()).collect();
    text.push_str(&format!("chain: {}\n", chain.join(" <- ")));
    if tier.images.len() > 1 {
        text.push_str(&format!("images: {}\n", tier.images.join(" ")));
    }
    let sections = [
        Some(layers(tier)),
        Some(packages(tier, listing)),
        listing.map(largest),
        Some(listing.map_or_else(not_listed, users)),
        Some(config("config", &tier.config)).filter(|text| !text.is_empty()),
        Some(variants(tier)).filter(|text| !text.is_empty()),
    ];
    for section in sections.into_iter().flatten() {
        text.push('\n');
        text.push_str(&section);
    }
    text
}

fn layers(tier: &ShownTier) -> String {
    let row = |layer: &crate::pipeline::ShownLayer| {
        vec![
            layer.tier.clone(),
            tier.packages.iter().filter(|package| package.tier == layer.tier).count().to_string(),
            layer.size.map_or_else(|| "not built".to_owned(), bytes),
            layer.diff_id.map(|id| id.to_string()).unwrap_or_default(),
        ]
    };
    let columns =
        [("layer", Align::Left), ("packages", Align::Right), ("size", Align::Right), ("diff_id", Align::Left)];
    table(&columns, &tier.layers.iter().map(row).collect::<Vec<_>>())
}

fn packages(tier: &ShownTier, listing: Option<&Listing>) -> String {
    let sizes = listing.map(Listing::sizes_by_package);
    let kept = |name: &str| {
        let (listing, sizes) = listing.zip(sizes.as_ref())?;
        let number = listing.packages.iter().position(|package| *package.name == *name)?;
        sizes.get(number).copied()
    };
    let row = |package: &crate::pipeline::ShownPackage| {
        let mut row = vec![
            package.name.to_string(),
            package.version.clone(),
            package.architecture.to_string(),
            package.tier.clone(),
            package.image.as_ref().map_or_else(|| bytes(package.size), |_| "base image".to_owned()),
        ];
        if listing.is_some() {
            row.push(kept(&package.name).map_or_else(String::new, bytes));
        }
        row
    };
    let columns = [
        ("package", Align::Left),
        ("version", Align::Left),
        ("arch", Align::Left),
        ("tier", Align::Left),
        (".deb", Align::Right),
        ("kept", Align::Right),
    ];
    let columns = if listing.is_some() { &columns[..] } else { &columns[..5] };
    table(columns, &tier.packages.iter().map(row).collect::<Vec<_>>())
}

fn largest(listing: &Listing) -> String {
    let row = |large: Large| vec![bytes(large.size), large.tier, large.origin, large.path];
    let columns =
        [("size", Align::Right), ("tier", Align::Left), ("origin", Align::Left), ("largest files", Align::Left)];
    let Listed { paths, files_size, largest_files, .. } = listed(listing);
    let all = format!("{paths} paths, {} of files\n", bytes(files_size));
    table(&columns, &largest_files.into_iter().map(row).collect::<Vec<_>>()) + &all
}

fn users(listing: &Listing) -> String {
    let row = |user: &crate::evidence::see::Account| {
        let group = listing.groups.iter().find(|group| group.gid == user.gid);
        let gid = group.map_or_else(|| user.gid.to_string(), |group| format!("{} ({})", user.gid, plain(&group.name)));
        let (home, shell) = (plain(&user.home), plain(&user.shell));
        vec![plain(&user.name), user.uid.to_string(), gid, home, shell]
    };
    let columns = [
        ("user", Align::Left),
        ("uid", Align::Right),
        ("gid", Align::Left),
        ("home", Align::Left),
        ("shell", Align::Left),
    ];
    let known = |gid: u32| listing.users.iter().any(|user| user.gid == gid);
    let others: Vec<_> = listing.groups.iter().filter(|group| !known(group.gid)).map(|one| plain(&one.name)).collect();
    let mut text = table(&columns, &listing.users.iter().map(row).collect::<Vec<_>>());
    if !others.is_empty() {
        text.push_str(&format!("groups of no user: {}\n", others.join(" ")));
    }
    text
}

fn not_listed() -> String {
    "files and users are not known here: the cache lacks packages; --tree fetches them\n".to_owned()
}

fn config(head: &str, config: &ShownConfig) -> String {
    let ShownConfig { user, workdir, entrypoint, cmd, env, labels, annotations, volumes, exposed_ports, stop_signal } =
        config;
    let one = |name: &str, value: &Option<String>| value.as_ref().map(|value| (name.to_owned(), plain(value)));
    let list =
        |name: &str, value: &Option<Vec<String>>| value.as_ref().map(|value| (name.to_owned(), format!("{value:?}")));
    let some =
        |name: &str, value: &[String]| Some((name.to_owned(), plain(&value.join(" ")))).filter(|_| !value.is_empty());
    let mut rows: Vec<(String, String)> = Vec::new();
    rows.extend(one("user", user));
    rows.extend(one("workdir", workdir));
    rows.extend(list("entrypoint", entrypoint));
    rows.extend(list("cmd", cmd));
    for (name, map) in [("env", env), ("label", labels), ("annotation", annotations)] {
        rows.extend(map.iter().map(|(key, value)| (name.to_owned(), plain(&format!("{key}={value}")))));
    }
    rows.extend(some("volumes", volumes));
    rows.extend(some("exposed ports", exposed_ports));
    rows.extend(one("stop signal", stop_signal));
    if rows.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name, value]).collect();
    table(&[(head, Align::Left), ("", Align::Left)], &rows)
}

fn variants(tier: &ShownTier) -> String {
    let row = |variant: &crate::pipeline::ShownVariant| {
        let ShownConfig { user, entrypoint, cmd, .. } = &variant.config;
        let words = entrypoint.iter().chain(cmd).flatten().map(|word| plain(word)).collect::<Vec<_>>();
        vec![
            variant.image.clone(),
            variant.size.map_or_else(|| "not built".to_owned(), bytes),
            user.as_deref().map(plain).unwrap_or_default(),
            words.join(" "),
        ]
    };
    if tier.variants.is_empty() {
        return String::new();
    }
    let columns = [("variant", Align::Left), ("size", Align::Right), ("user", Align::Left), ("runs", Align::Left)];
    table(&columns, &tier.variants.iter().map(row).collect::<Vec<_>>())
}

fn plain(text: &str) -> String {
    printable(text.as_bytes())
}
