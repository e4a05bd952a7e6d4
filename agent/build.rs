//! Packs the plugin API into the binary, for `plugins new`: a stranger's crate is built without a checkout of this
//! repository and without a registry that has the API. What the API takes from the workspace is written out, and the
//! versions are those of the workspace's lock.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Finds what a member of the workspace inherits.
type Find = for<'a> fn(&'a Table, &str) -> Outcome<&'a Value>;

/// What of `plugin-api` its users build; `include` holds headers, where there are any.
const PARTS: [&str; 3] = ["build.rs", "src", "include"];

fn main() -> Outcome<()> {
    let workspace = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let api = workspace.join("plugin-api");
    let whole = read(&workspace.join("Cargo.toml"))?;
    let manifest = written_out(read(&api.join("Cargo.toml"))?, &whole)?;
    fs::write(out.join("api-manifest.toml"), toml::to_string(&manifest)?)?;
    fs::write(out.join("plugin.lock"), lock(&read(&workspace.join("Cargo.lock"))?)?)?;

    let mut files = Vec::new();
    for part in PARTS {
        collect(&api.join(part), &mut files)?;
    }
    let mut code = String::from("const API: &[(&str, &str)] = &[\n");
    code += "    (\"Cargo.toml\", include_str!(concat!(env!(\"OUT_DIR\"), \"/api-manifest.toml\"))),\n";
    for file in &files {
        let name = file.strip_prefix(&api)?;
        code += &format!("    ({:?}, include_str!({:?})),\n", name.display().to_string(), file);
    }
    code += "];\nconst LOCK: &str = include_str!(concat!(env!(\"OUT_DIR\"), \"/plugin.lock\"));\n";
    let serde = dependency(&whole, "serde")?;
    code += &format!("const SERDE: &str = {:?};\n", serde.to_string());
    code += &format!("const RUST: &str = {};\n", inherited(&whole, "rust-version")?);
    fs::write(out.join("packed.rs"), code)?;
    Ok(())
}

fn read(file: &Path) -> Outcome<Table> {
    println!("cargo:rerun-if-changed={}", file.display());
    Ok(fs::read_to_string(file)?.parse()?)
}

/// All files at or below a path, sorted; none where there is no such path.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    if path.is_dir() {
        println!("cargo:rerun-if-changed={}", path.display());
        let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| collect(entry, files));
    }
    if path.is_file() {
        println!("cargo:rerun-if-changed={}", path.display());
        files.push(path.to_path_buf());
    }
    Ok(())
}

fn inherited<'a>(workspace: &'a Table, key: &str) -> Outcome<&'a Value> {
    let package = workspace.get("workspace").and_then(|table| table.get("package"));
    Ok(package.and_then(|package| package.get(key)).ok_or_else(|| format!("no workspace.package.{key}"))?)
}

fn dependency<'a>(workspace: &'a Table, name: &str) -> Outcome<&'a Value> {
    let all = workspace.get("workspace").and_then(|table| table.get("dependencies"));
    Ok(all.and_then(|all| all.get(name)).ok_or_else(|| format!("no workspace.dependencies.{name}"))?)
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// The manifest with the workspace's values in their places, without what only the workspace's own tests need.
fn written_out(mut manifest: Table, workspace: &Table) -> Outcome<Table> {
    for part in ["dev-dependencies", "lints"] {
        manifest.remove(part);
    }
    let parts: [(&str, Find); 2] = [("package", inherited), ("dependencies", dependency)];
    for (part, from) in parts {
        let Some(Value::Table(entries)) = manifest.get_mut(part) else { continue };
        entries.remove("readme");
        for (key, value) in entries.iter_mut().filter(|(_, value)| is_inherited(value)) {
            *value = Value::clone(from(workspace, key)?);
        }
    }
    Ok(manifest)
}

/// What the API needs of the lock, so that a new crate is built of the very sources that the agent was built of.
fn lock(whole: &Table) -> Outcome<String> {
    let packages = whole.get("package").and_then(Value::as_array).ok_or("a lock without packages")?;
    let text = |package: &Value, key: &str| package.get(key).and_then(Value::as_str).map(str::to_string);
    let needs = |package: &Value| -> Vec<String> {
        let all = package.get("dependencies").and_then(Value::as_array);
        all.into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect()
    };
    let is = |package: &Value, wanted: &str| {
        let mut words = wanted.split(' ');
        text(package, "name").as_deref() == words.next()
            && words.next().is_none_or(|version| text(package, "version").as_deref() == Some(version))
    };
    let mut wanted = BTreeSet::new();
    let mut left = vec!["twarga-plugin-api".to_string()];
    while let Some(name) = left.pop() {
        let at = packages.iter().position(|package| is(package, &name)).ok_or("a lock that is not whole")?;
        if wanted.insert(at) {
            left.extend(needs(&packages[at]));
        }
    }
    // the API itself comes as a folder or by version: cargo adds it
    let kept: Vec<Value> = wanted
        .into_iter()
        .map(|at| packages[at].clone())
        .filter(|package| package.get("source").is_some())
        .collect();
    let mut lock = Table::new();
    lock.insert("version".into(), whole.get("version").ok_or("a lock without a version")?.clone());
    lock.insert("package".into(), Value::Array(kept));
    Ok(toml::to_string(&lock)?)
}
