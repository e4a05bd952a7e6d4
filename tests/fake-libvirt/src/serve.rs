//! One connection.

use crate::{Asked, Behaviour, Domain, GET_ALL_DOMAIN_STATS, Service, Shared, xdr};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

const REMOTE: u32 = 0x2000_8086;
const KEEP_ALIVE: u32 = 0x6b65_6570;
const NOWAIT: u32 = 1 << 29;
/// The groups of statistics for which libvirt asks QEMU.
const ASKS_QEMU: u32 = 2 | 4 | 8 | 32;

/// What is to be answered.
enum Reply {
    Body(Vec<u8>),
    Error(i32, String),
    /// Nothing, and the connection ends.
    End,
}

/// So many calls of one connection are carried out side by side; the next one is read when one of them is done.
const SIDE_BY_SIDE: usize = 5;

pub(crate) fn connection(stream: &UnixStream, service: &Service) {
    let writer = Mutex::new(stream);
    let (busy, freed) = (Mutex::new(0), Condvar::new());
    let lock = || busy.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        while let Ok(call) = read(stream) {
            let mut count = lock();
            while *count == SIDE_BY_SIDE {
                count = freed.wait(count).unwrap_or_else(PoisonError::into_inner);
            }
            *count += 1;
            drop(count);
            let (writer, freed, lock) = (&writer, &freed, &lock);
            scope.spawn(move || {
                if answer(writer, service, &call).is_none() {
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                }
                *lock() -= 1;
                freed.notify_all();
            });
        }
    });
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

fn read(mut stream: &UnixStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut call = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4)];
    stream.read_exact(&mut call)?;
    Ok(call)
}

/// None where the connection is over.
fn answer(writer: &Mutex<&UnixStream>, service: &Service, call: &[u8]) -> Option<()> {
    let mut reader = xdr::Reader(call);
    let program = reader.word()?;
    let (_, procedure, _, serial) = (reader.word()?, reader.word()?, reader.word()?, reader.word()?);
    reader.word()?;
    if program == KEEP_ALIVE {
        service.lock().pongs += usize::from(procedure == 2);
        return Some(());
    }
    let behaviour = service.lock().behaviour.clone();
    if behaviour == Behaviour::Silent {
        service.lock().asked.push(Asked { procedure, mask: 0, flags: 0, domains: 0 });
        service.wait(|shared| shared.behaviour != Behaviour::Silent);
        return None;
    }
    let reply = carry_out(service, procedure, reader.0);
    let (status, body) = match reply {
        Reply::Body(body) => (0, body),
        Reply::Error(code, message) => (1, xdr::error(code, &message)),
        Reply::End => return None,
    };
    let honest = Behaviour::Honest;
    let behaviour = if procedure == GET_ALL_DOMAIN_STATS { &behaviour } else { &honest };
    let mut frame = match behaviour {
        Behaviour::Closes => return None,
        Behaviour::WrongSerial => frame(REMOTE, procedure, 1, serial.wrapping_add(7), status, &body),
        Behaviour::WrongProcedure => frame(REMOTE, procedure + 1, 1, serial, status, &body),
        Behaviour::Refuses { code, message } => {
            frame(REMOTE, procedure, 1, serial, 1, &xdr::error(*code, message))
        }
        _ => frame(REMOTE, procedure, 1, serial, status, &body),
    };
    let mut stream = *writer.lock().unwrap_or_else(PoisonError::into_inner);
    match behaviour {
        Behaviour::Chatty => {
            stream.write_all(&self::frame(REMOTE, 123, 2, 0, 0, b"an event")).ok()?;
            stream.write_all(&self::frame(KEEP_ALIVE, 1, 2, 0, 0, &[])).ok()?;
        }
        Behaviour::CutAt(length) => {
            frame.truncate(*length);
            let _ = stream.write_all(&frame);
            return None;
        }
        Behaviour::Overwrite(at, bytes) => {
            if let Some(place) = frame.get_mut(*at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
        _ => {}
    }
    stream.write_all(&frame).ok()
}

fn frame(program: u32, procedure: u32, kind: u32, serial: u32, status: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [28 + body.len() as u32, program, 1, procedure, kind, serial, status] {
        xdr::word(&mut out, word);
    }
    out.extend_from_slice(body);
    out
}

fn carry_out(service: &Service, procedure: u32, arguments: &[u8]) -> Reply {
    if procedure == GET_ALL_DOMAIN_STATS {
        return stats(service, arguments).unwrap_or_else(unreadable);
    }
    let mut shared = service.lock();
    shared.asked.push(Asked { procedure, mask: 0, flags: 0, domains: 1 });
    let mut reader = xdr::Reader(arguments);
    match procedure {
        66 => {
            let mut body = Vec::new();
            xdr::word(&mut body, 1);
            xdr::word(&mut body, if shared.polkit.is_some() { 2 } else { 0 });
            Reply::Body(body)
        }
        70 if shared.polkit == Some(true) => Reply::Body(1_u32.to_be_bytes().to_vec()),
        70 => Reply::Error(45, "authentication failed: no agent is available".into()),
        1 => match (reader.word(), reader.text(), reader.word()) {
            (Some(1), Some(uri), Some(1)) if uri == shared.uri => Reply::Body(Vec::new()),
            (Some(1), Some(uri), Some(_)) => {
                Reply::Error(1, format!("internal error: unexpected QEMU URI path '{uri}'"))
            }
            _ => unreadable(),
        },
        14 | 353 => match reader.domain() {
            Some(uuid) => {
                drop(shared);
                let hangs = |shared: &Shared| {
                    shared.domains.iter().any(|domain| domain.uuid == uuid && domain.hangs_at_xml)
                };
                if procedure == 14 && !service.wait(|shared| !hangs(shared)) {
                    return Reply::End;
                }
                if unlocked(service, uuid) { about(&service.lock(), procedure, uuid) } else { Reply::End }
            }
            None => unreadable(),
        },
        _ => Reply::Error(3, format!("unknown procedure: {procedure}")),
    }
}

fn unreadable() -> Reply {
    Reply::Error(38, "Unable to decode message payload".into())
}

fn about(shared: &Shared, procedure: u32, uuid: [u8; 16]) -> Reply {
    let Some(domain) = shared.domains.iter().find(|domain| domain.uuid == uuid) else {
        return Reply::Error(42, "Domain not found: no domain with matching uuid".into());
    };
    let mut body = Vec::new();
    if procedure == 14 {
        xdr::text(&mut body, &domain.xml);
        return Reply::Body(body);
    }
    if domain.id < 0 {
        return Reply::Error(55, "Requested operation is not valid: domain is not running".into());
    }
    xdr::word(&mut body, u32::from(!domain.addresses.is_empty()));
    if !domain.addresses.is_empty() {
        xdr::text(&mut body, "vnet0");
        xdr::word(&mut body, 1);
        xdr::text(&mut body, "52:54:00:d6:da:f9");
        xdr::word(&mut body, domain.addresses.len() as u32);
        for address in &domain.addresses {
            xdr::word(&mut body, u32::from(address.contains(':')));
            xdr::text(&mut body, address);
            xdr::word(&mut body, 24);
        }
    }
    Reply::Body(body)
}

/// As libvirt does it: one domain after the other; at one whose QEMU is to be asked and hangs the request stays, and holds
/// its lock; one whose lock is held is passed over, where the caller does not want to wait.
fn stats(service: &Service, arguments: &[u8]) -> Option<Reply> {
    let mut reader = xdr::Reader(arguments);
    let count = reader.word()?;
    let uuids = (0..count).map(|_| reader.domain()).collect::<Option<Vec<_>>>()?;
    let (mask, flags) = (reader.word()?, reader.word()?);
    if !reader.is_done() {
        return None;
    }
    service.lock().asked.push(Asked { procedure: GET_ALL_DOMAIN_STATS, mask, flags, domains: uuids.len() });
    let mut body = Vec::new();
    let mut records = 0_u32;
    let wanted: Vec<[u8; 16]> = {
        let shared = service.lock();
        let known = shared.domains.iter().map(|domain| domain.uuid);
        known.filter(|uuid| uuids.is_empty() || uuids.contains(uuid)).collect()
    };
    for uuid in wanted {
        let Some(qemu) = ask_qemu(service, uuid, mask, flags) else { return Some(Reply::End) };
        let shared = service.lock();
        let Some(domain) = shared.domains.iter().find(|domain| domain.uuid == uuid) else { continue };
        records += 1;
        xdr::domain(&mut body, domain);
        let told = |field: &str| Domain::group(field) & mask != 0 && (qemu || !Domain::needs_qemu(field));
        let params: Vec<_> = domain.params.iter().filter(|(field, _)| told(field)).collect();
        xdr::word(&mut body, params.len() as u32);
        for (field, value) in params {
            xdr::param(&mut body, field, value);
        }
    }
    let mut reply = Vec::new();
    xdr::word(&mut reply, records);
    reply.append(&mut body);
    Some(Reply::Body(reply))
}

/// Waits until nothing locks the machine as a whole; false where the service ended meanwhile.
fn unlocked(service: &Service, uuid: [u8; 16]) -> bool {
    service.wait(|shared| !shared.domains.iter().any(|domain| domain.uuid == uuid && domain.locked))
}

/// Whether QEMU told something; none where the service ended meanwhile.
fn ask_qemu(service: &Service, uuid: [u8; 16], mask: u32, flags: u32) -> Option<bool> {
    if !unlocked(service, uuid) {
        return None;
    }
    let hangs = |shared: &Shared| shared.domains.iter().any(|domain| domain.uuid == uuid && domain.hangs);
    if mask & ASKS_QEMU == 0 {
        return Some(true);
    }
    if service.lock().held.contains(&uuid) {
        if flags & NOWAIT != 0 {
            return Some(false);
        }
        if !service.wait(|shared| !shared.held.contains(&uuid)) {
            return None;
        }
    }
    if hangs(&service.lock()) {
        service.lock().held.insert(uuid);
        let lives = service.wait(|shared| !hangs(shared));
        service.lock().held.remove(&uuid);
        service.changed.notify_all();
        if !lives {
            return None;
        }
    }
    Some(true)
}
