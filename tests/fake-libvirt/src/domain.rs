//! A machine of the stand-in.

/// A typed parameter's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Int(i32),
    Uint(u32),
    Llong(i64),
    Ullong(u64),
    Double(f64),
    Boolean(bool),
    Text(String),
}

/// A machine.
#[derive(Clone, Debug)]
pub struct Domain {
    pub name: String,
    pub uuid: [u8; 16],
    /// -1 while it is off.
    pub id: i32,
    /// Its statistics, in their order.
    pub params: Vec<(String, Value)>,
    /// Its definition.
    pub xml: String,
    /// The addresses of its one interface.
    pub addresses: Vec<String>,
    /// Whether its QEMU answers nothing.
    pub hangs: bool,
    /// Whether the service is busy with it, such that nobody learns anything of it: it is being stopped.
    pub locked: bool,
    /// Whether nobody is answered who asks for its definition.
    pub hangs_at_xml: bool,
}

impl Domain {
    /// A running machine of one virtual processor, 256 MiB, a disk of 1 GiB and one interface. Its UUID tells `number`.
    pub fn running(number: u32) -> Self {
        let name = format!("project_m{number}");
        let mut uuid = *b"\x3c\xd6\x2c\xad\x25\xaf\x45\xd2\x90\xa8\x17\x1a\0\0\0\0";
        uuid[12..].copy_from_slice(&number.to_be_bytes());
        let path = format!("/var/lib/libvirt/images/{name}.img");
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><devices><disk type='file' device='disk'><source \
             file='{path}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
        );
        let mut domain = Self {
            name,
            uuid,
            id: i32::try_from(number).unwrap_or(0) + 1,
            params: Vec::new(),
            xml,
            addresses: vec![format!("192.168.121.{}", number % 250 + 2)],
            hangs: false,
            locked: false,
            hangs_at_xml: false,
        };
        domain.set_int("state.state", 1);
        domain.set_int("state.reason", 1);
        domain.set("cpu.time", 4_300_939_000);
        domain.set("cpu.user", 3_360_952_000);
        domain.set("balloon.current", 262_144);
        domain.set("balloon.maximum", 262_144);
        domain.set("balloon.unused", 124_856);
        domain.set("balloon.available", 158_076);
        domain.set("balloon.usable", 129_332);
        domain.set("balloon.last-update", 1_795_214_100);
        domain.set("balloon.rss", 268_284);
        domain.put("vcpu.current", Value::Uint(1));
        domain.put("vcpu.maximum", Value::Uint(1));
        domain.set_int("vcpu.0.state", 1);
        domain.set("vcpu.0.time", 3_680_000_000);
        domain.put("net.count", Value::Uint(1));
        domain.put("net.0.name", Value::Text("vnet0".into()));
        domain.set("net.0.rx.bytes", 14_562);
        domain.set("net.0.tx.bytes", 14_190);
        domain.put("block.count", Value::Uint(1));
        domain.put("block.0.name", Value::Text("vda".into()));
        domain.put("block.0.path", Value::Text(path));
        domain.put("block.0.backingIndex", Value::Uint(1));
        domain.set("block.0.rd.bytes", 34_304);
        domain.set("block.0.wr.bytes", 16_797_696);
        domain.set("block.0.allocation", 17_367_040);
        domain.set("block.0.capacity", 1 << 30);
        domain.set("block.0.physical", 17_313_792);
        domain
    }

    /// Its UUID as text.
    pub fn uuid_text(&self) -> String {
        let hex: String = self.uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// Sets a parameter.
    pub fn put(&mut self, field: &str, value: Value) {
        match self.params.iter_mut().find(|(name, _)| name == field) {
            Some((_, known)) => *known = value,
            None => self.params.push((field.to_owned(), value)),
        }
    }

    /// Sets a parameter of the commonest type.
    pub fn set(&mut self, field: &str, value: u64) {
        self.put(field, Value::Ullong(value));
    }

    fn set_int(&mut self, field: &str, value: i32) {
        self.put(field, Value::Int(value));
    }

    /// Takes away all parameters that begin so.
    pub fn remove(&mut self, prefix: &str) {
        self.params.retain(|(field, _)| !field.starts_with(prefix));
    }

    /// Sets its state and the reason of it.
    pub fn state(&mut self, state: i32, reason: i32) {
        self.set_int("state.state", state);
        self.set_int("state.reason", reason);
    }

    /// Switches it off, as libvirt then tells of it.
    pub fn shut_off(&mut self, reason: i32) {
        self.state(5, reason);
        self.id = -1;
        for prefix in [
            "net.",
            "block.0.rd",
            "block.0.wr",
            "vcpu.0",
            "balloon.un",
            "balloon.us",
            "balloon.a",
            "balloon.l",
        ] {
            self.remove(prefix);
        }
        // the service's own processor time
        self.set("cpu.time", 8_800_000_000);
    }

    /// Whether the service tells this parameter without asking QEMU.
    pub(crate) fn needs_qemu(field: &str) -> bool {
        let is_size = |rest: &str| {
            ["rd.", "wr.", "fl.", "capacity", "allocation", "physical"]
                .iter()
                .any(|part| rest.starts_with(part))
        };
        match field.split_once('.') {
            Some(("block", rest)) => rest.split_once('.').is_some_and(|(_, rest)| is_size(rest)),
            Some(("balloon", rest)) => !matches!(rest, "current" | "maximum"),
            _ => false,
        }
    }

    /// The group of statistics that it belongs to, as a bit of the mask.
    pub(crate) fn group(field: &str) -> u32 {
        match field.split('.').next().unwrap_or_default() {
            "state" => 1,
            "cpu" => 2,
            "balloon" => 4,
            "vcpu" => 8,
            "net" => 16,
            "block" => 32,
            _ => 0,
        }
    }
}
