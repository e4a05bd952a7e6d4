//! Every type that crosses the boundary, as abi_stable describes it, against `frozen/types-1.txt`: names, sizes, fields in
//! their order, signatures of functions. That includes abi_stable's own types, should it ever change one.

use abi_stable::{
    StableAbi,
    type_layout::{TLData, TLField, TypeLayout},
};
use std::{collections::BTreeMap, fmt::Write, fs, path::Path};
use twarga_plugin_api::{
    abi::{HostVt_Ref, PluginMod_Ref, RawCollectorBox},
    abi_stable,
};

const FROZEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frozen/types-1.txt");

/// What to do, in the words of `docs/abi.md`.
const ADVICE: &str = "\n\nPlugins that exist were built with the types of this list, and the agent would refuse or \
    misread them. Take the change back. To grow the boundary, append a field after the last one of a prefix type (see \
    docs/abi.md), raise the API's minor version, and run this test with TWARGA_FREEZE=1, which adds lines to the list \
    and removes none.\n";

/// The types that can be reached from here, by their full names.
fn reach(layout: &'static TypeLayout, found: &mut BTreeMap<String, String>) {
    let name = name(layout);
    if found.contains_key(&name) {
        return;
    }
    found.insert(name.clone(), String::new());
    let text = describe(layout);
    found.insert(name, text);
    for nested in layout.shared_vars().type_layouts() {
        reach(nested(), found);
    }
    for nested in layout.extra_checks().iter().flat_map(|checks| checks.nested_type_layouts().to_vec()) {
        reach(nested, found);
    }
}

fn describe(layout: &'static TypeLayout) -> String {
    let name = name(layout);
    let fixed = format!("size {} align {}", layout.size(), layout.alignment());
    let head = match layout.data() {
        TLData::Primitive(_) => format!("primitive {name} {fixed}"),
        TLData::Opaque => format!("opaque {name} {fixed}"),
        TLData::Struct { .. } => format!("struct {name} {fixed}"),
        TLData::Union { .. } => format!("union {name} {fixed}"),
        TLData::Enum(of) => format!("enum {name} {fixed} variants {}", of.variant_names.as_str()),
        TLData::PrefixType(of) => format!("prefix {name}, all have the first {}", of.first_suffix_field),
    };
    let mut text = format!("{head}, {:?}\n", layout.repr_attr());
    for field in fields(layout) {
        describe_field(&field, &mut text);
    }
    text
}

fn describe_field(field: &TLField, text: &mut String) {
    let _ = writeln!(text, "  {}: {}", field.name(), name(field.layout()));
    for function in field.function_range().iter() {
        let parameters: Vec<String> =
            function.param_type_layouts.iter().map(|layout| name(layout())).collect();
        let returned = function.return_type_layout().map_or("()".into(), |layout| name(layout()));
        let unsafety = if function.fn_qualifs.is_unsafe() { "unsafe " } else { "" };
        let _ = writeln!(text, "    {unsafety}fn({}) -> {returned}", parameters.join(", "));
    }
}

/// A type's name with what it holds, which abi_stable leaves out of it: `RVec[PhantomData<Sample>]`.
fn name(layout: &'static TypeLayout) -> String {
    let full = layout.full_type().to_string();
    let inner: Vec<String> = match layout.data() {
        TLData::Primitive(_) => {
            layout.shared_vars().type_layouts().iter().map(|inner| name(inner())).collect()
        }
        TLData::Enum(_) => fields(layout).map(|field| name(field.layout())).collect(),
        _ => (fields(layout).filter(|field| field.name() == "_marker"))
            .map(|field| field.full_type().to_string())
            .collect(),
    };
    let full = full.split_whitespace().collect::<Vec<_>>().join(" ");
    if inner.is_empty() { full } else { format!("{full}[{}]", inner.join(", ")) }
}

fn fields(layout: &'static TypeLayout) -> impl Iterator<Item = TLField> {
    layout.get_fields().into_iter().flat_map(|fields| fields.to_vec())
}

/// The first line of `frozen` that `now` lacks: every line must stand there, in its order.
fn lost<'a>(frozen: &'a str, now: &str) -> Option<&'a str> {
    let mut rest = now.lines();
    frozen.lines().find(|line| !rest.any(|other| other == *line))
}

fn now() -> String {
    let mut found = BTreeMap::new();
    reach(PluginMod_Ref::LAYOUT, &mut found);
    reach(HostVt_Ref::LAYOUT, &mut found);
    reach(RawCollectorBox::LAYOUT, &mut found);
    found.into_values().collect()
}

#[test]
fn types_are_as_they_were_published() {
    let now = now();
    let frozen = fs::read_to_string(FROZEN).unwrap_or_default();
    if let Some(line) = lost(&frozen, &now) {
        panic!("`{}` is in {FROZEN}, and no longer (or elsewhere) in the code.{ADVICE}\n{now}", line.trim());
    }
    if std::env::var_os("TWARGA_FREEZE").is_some() {
        fs::write(Path::new(FROZEN), &now).expect("the list can be written where it was read");
    } else if now != frozen {
        let new = lost(&now, &frozen).unwrap_or("(a line that stands twice)");
        panic!("`{}` is in the code, and not in {FROZEN}.{ADVICE}", new.trim());
    }
}

#[test]
fn what_is_lost_or_moved_is_found() {
    assert_eq!(lost("a\nb\n", "a\nx\nb\n"), None, "grown");
    assert_eq!(lost("a\nb\n", "b\na\n"), Some("b"), "another order");
    assert_eq!(lost("a\nb\n", "a\n"), Some("b"));
    let now = now();
    for part in ["Sample", "HostVt", "PluginMod", "RawError", "RawMetric", "RVec", "collect"] {
        assert!(now.contains(part), "{part} is not reached");
    }
}
