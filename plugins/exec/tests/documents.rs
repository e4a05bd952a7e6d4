//! The README and the schema say what the plugin does.

use twarga_plugin_api::testing::wrong_in_documents;

#[test]
fn the_readme_and_the_schema_say_what_the_plugin_does() {
    let wrong = wrong_in_documents(exec::plugin(), include_str!("../README.md"));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
