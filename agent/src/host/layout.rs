//! Compares the types of agent and plugin, and says in a line where they differ.

use abi_stable::{
    abi_stability::abi_checking::{
        AbiInstability, AbiInstabilityErrors, CheckingGlobals, check_layout_compatibility_with_globals,
    },
    type_layout::{TLFieldOrFunction, TypeLayout},
};

/// The most differences that a message names.
const SHOWN: usize = 3;

/// Whether a plugin with this layout can run in a host with that one.
///
/// abi_stable alone accepts a plugin that is as new as the host or newer. The other way round is as sound: what an
/// older plugin lacks reads as absent. And its process-wide globals make the answer depend on the order in which
/// plugins are loaded; fresh ones are right here, because plugins never exchange objects with each other.
///
/// # Errors
/// The first differences, as the plain check sees them.
pub(super) fn check(host: &'static TypeLayout, plugin: &'static TypeLayout) -> Result<(), String> {
    let compare = |a, b| check_layout_compatibility_with_globals(a, b, &CheckingGlobals::new());
    compare(host, plugin).or_else(|errors| compare(plugin, host).map_err(|_| shorten(&errors)))
}

/// abi_stable's own message has tens of kilobytes.
fn shorten(errors: &AbiInstabilityErrors) -> String {
    let mut lines: Vec<String> = Vec::new();
    for error in errors.errors.iter() {
        let mut path: Vec<String> = Vec::new();
        for step in error.stack_trace.iter() {
            match &step.found {
                TLFieldOrFunction::Field(field) if field.name() == "0" => {}
                TLFieldOrFunction::Field(field) => path.push(field.name().to_string()),
                TLFieldOrFunction::Function(function) => path.push(format!("{}()", function.name)),
            }
        }
        for difference in error.errs.iter() {
            let place = if path.is_empty() { "the root module".into() } else { path.join(".") };
            let line = format!("{place}: {}", describe(difference));
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("; ")
}

fn describe(difference: &AbiInstability) -> String {
    match difference {
        AbiInstability::Name(x) => format!("agent has {}, plugin has {}", x.expected, x.found),
        AbiInstability::Package(x) => {
            format!("agent has the type of {}, plugin has one of {}", x.expected, x.found)
        }
        AbiInstability::Size(x) => format!("agent has {} bytes, plugin has {}", x.expected, x.found),
        AbiInstability::Alignment(x) => format!("agent aligns to {}, plugin to {}", x.expected, x.found),
        AbiInstability::MismatchedPrimitive(x) => {
            format!("agent has {:?}, plugin has {:?}", x.expected, x.found)
        }
        AbiInstability::FieldCountMismatch(x) => {
            format!("agent has {} fields, plugin has {}", x.expected, x.found)
        }
        AbiInstability::FnLifetimeMismatch(_) => "the lifetimes of a function differ".into(),
        AbiInstability::UnexpectedField(x) => {
            format!("agent has the field `{}`, plugin has `{}`", x.expected.name(), x.found.name())
        }
        AbiInstability::PackageVersion(x) => {
            format!("agent has crate {}, plugin has {}", x.expected, x.found)
        }
        other => {
            let text = format!("{other:?}");
            text.split(['{', '(']).next().unwrap_or_default().trim().to_string()
        }
    }
}
