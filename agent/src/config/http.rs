//! `[http]` and `[http.auth]`.

use super::{
    Flags, Http, TimestampStyle,
    check::Check,
    document::Value,
    problem::quoted,
    suggest::other_section,
    table::{Field, Table},
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address, if none is given.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// The most addresses to listen on.
const MOST_ADDRESSES: usize = 64;

/// Reads `[http]`; what the file says of `listen` is checked also where the command line replaces it.
pub(super) fn read(field: Option<Field<'_>>, flags: &Flags, check: &mut Check<'_>) -> Http {
    const STYLES: [(&str, TimestampStyle); 2] =
        [("rfc3339", TimestampStyle::Rfc3339), ("legacy", TimestampStyle::Legacy)];
    let mut table = Table::of(field, "[http]", check);
    let listen = table.get("listen").and_then(|field| listen(&field, check));
    let timestamps = table.get("timestamps").and_then(|field| field.word(&STYLES, check));
    let hosts = table.get("hosts").and_then(|field| hosts(&field, check));
    let mut auth = Table::of(table.get("auth"), "[http.auth]", check);
    let user = auth.get("user_tokens").and_then(|field| field.path("user.tokens", check));
    let admin = auth.get("admin_tokens").and_then(|field| field.path("admin.tokens", check));
    auth.refuse_others(check, other_section);
    table.refuse_others(check, other_section);
    Http {
        listen: flags.listen.map(|address| vec![address]).or(listen).unwrap_or_else(|| vec![LISTEN]),
        timestamps: timestamps.unwrap_or(TimestampStyle::Rfc3339),
        user_tokens: user,
        admin_tokens: admin,
        hosts: hosts.unwrap_or_default(),
    }
}

fn listen(field: &Field<'_>, check: &mut Check<'_>) -> Option<Vec<SocketAddr>> {
    let items = match field.node.value {
        Value::List(_) => field.items("[\"127.0.0.1:8000\"]", check)?,
        _ => vec![field.clone()],
    };
    if items.is_empty() {
        field.error("there is no address to listen on", "write one such as \"127.0.0.1:8000\"", check);
        return None;
    }
    if items.len() > MOST_ADDRESSES {
        let message = format!("{} addresses are more than {MOST_ADDRESSES}", items.len());
        field.error(message, "0.0.0.0 and [::] stand for every interface", check);
        return None;
    }
    let mut addresses = Vec::new();
    for item in items {
        let Some(text) = item.text("an address with a port", "127.0.0.1:8000", check) else { continue };
        match text.parse::<SocketAddr>() {
            // each port 0 is another port
            Ok(address) if address.port() != 0 && addresses.contains(&address) => {
                item.error(format!("{} stands twice", quoted(text)), "remove one of the two", check);
            }
            Ok(address) => addresses.push(address),
            Err(_) => {
                let message = format!("{} is not an address with a port", quoted(text));
                item.error(message, address_hint(text), check);
            }
        }
    }
    Some(addresses)
}

fn address_hint(text: &str) -> String {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let port = port.parse::<u16>();
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return format!("add a port: \"{}\"", SocketAddr::new(ip, 8000));
    }
    if text.starts_with("http:") || text.starts_with("https:") {
        return "write the address alone, such as \"127.0.0.1:8000\"".to_owned();
    }
    match (host, port) {
        ("", Ok(port)) => format!("write \"127.0.0.1:{port}\", or \"0.0.0.0:{port}\" for every interface"),
        ("*", Ok(port)) => format!("write \"0.0.0.0:{port}\" for every interface"),
        ("localhost", Ok(port)) => format!("write \"127.0.0.1:{port}\""),
        (host, Ok(port)) if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) => {
            format!("write \"[{host}]:{port}\"")
        }
        (_, Ok(port)) => format!("names are not looked up: write its number, such as \"127.0.0.1:{port}\""),
        _ => "write one such as \"127.0.0.1:8000\"".to_owned(),
    }
}

fn hosts(field: &Field<'_>, check: &mut Check<'_>) -> Option<Vec<String>> {
    let mut hosts = Vec::new();
    for item in field.items("[\"monitor.example.org\"]", check)? {
        let Some(text) = item.text("a host name", "monitor.example.org", check) else { continue };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
        if text.is_empty() || text.len() > 253 || !text.chars().all(allowed) {
            let hint = "write the bare name, such as \"monitor.example.org\"";
            item.error(format!("{} is not a host name", quoted(text)), hint, check);
            continue;
        }
        // names of hosts are the same in any case
        hosts.push(text.to_ascii_lowercase());
    }
    Some(hosts)
}
