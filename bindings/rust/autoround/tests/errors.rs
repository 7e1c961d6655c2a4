//! Errors are values that say what, where and about which thing.

mod scene;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use autoround::{Calibration, Code, Context, Error, Model, Options, Recipe, State, Syntax, has_feature};
use autoround_toy::Toy;
use scene::Scene;

fn error<T>(result: autoround::Result<T>) -> Error {
    let error = result.err().expect("an error");
    assert!(!error.message().is_empty());
    error
}

#[test]
fn bad_path() {
    let said = error(Model::open("/no/such/model"));
    assert_eq!(said.code(), Code::NotFound);
    assert_eq!(said.code().name(), "AUTOROUND_ERROR_NOT_FOUND");
    assert!(said.subject().starts_with("/no/such/model"), "{said:?}");
    assert!(said.to_string().contains("/no/such/model"), "{said}");
}

#[test]
fn a_recipe_that_does_not_parse_says_in_which_line_and_column() {
    let text = "[AutoRoundModifier]\nscheme = \"W4A16\"\ngroup_sze = 3\n";
    let said = error(Recipe::parse(text, Syntax::Toml));
    assert_eq!((said.code(), said.line(), said.column()), (Code::Parse, Some(3), Some(1)), "{said:?}");
    assert!(said.message().contains("`AutoRoundModifier.group_sze`: unknown key"), "{said}");
    assert!(said.to_string().ends_with("(line 3, column 1)"), "{said}");
}

#[test]
fn a_setter_refuses_what_does_not_fit_and_changes_nothing() {
    let mut recipe = Recipe::new().unwrap();
    recipe.set("iters", 12).unwrap();
    let unknown = error(recipe.set("itres", 3));
    assert_eq!((unknown.code(), unknown.subject()), (Code::InvalidArgument, "itres"));
    assert!(unknown.message().contains("iters"), "{unknown}");
    for refused in [recipe.set("iters", -1).err(), recipe.set("iters", "many").err(), recipe.set("iters", 1.5).err()] {
        assert_eq!(refused.expect("an error").subject(), "iters");
    }
    assert_eq!(recipe.get("iters").unwrap(), "12");
}

#[test]
fn validation_lists_every_offender() {
    let mut scene = Scene::new(0);
    scene.recipe.set("weights.group_size", 48).unwrap();
    let said = error(scene.recipe.validate(&scene.model));
    assert_eq!(said.code(), Code::InvalidArgument);
    assert!(said.message().contains("model.layers.0.self_attn.q_proj"), "{said}");
    assert!(said.message().contains("model.layers.1.mlp.down_proj"), "{said}");
    scene.recipe.validate(None).unwrap();
}

#[test]
fn a_nul_byte_where_text_ends_at_one_is_an_error_about_the_parameter() {
    let said = error(Recipe::new().unwrap().set("iters\0", 1));
    assert_eq!((said.code(), said.subject()), (Code::InvalidArgument, "key"));
    assert_eq!(said.message(), "key holds a NUL byte, at offset 5");
    assert_eq!(error(Model::open("model\0")).subject(), "directory");
    assert_eq!(error(Options::new().unwrap().set_device("c\0pu")).subject(), "device");
    assert!(!has_feature("bf16\0"));
}

#[test]
fn text_utf8() {
    let mut data = Calibration::new(8).unwrap();
    let toy = Toy::new();
    assert_eq!(error(data.add_text("no tokenizer")).code(), Code::InvalidState);
    data.set_tokenizer(toy.tokenizer()).unwrap();
    // The toy's tokenizer knows bytes: NUL is one, U+1F600 is four.
    for (text, tokens) in [("x", 1), ("x\0x", 4), ("x\u{1F600}x", 10), ("\0\u{1F600}\0", 16)] {
        data.add_text(text).unwrap();
        assert_eq!(data.token_count(), tokens, "{text:?}");
    }
    let said = error(Recipe::parse("iters = 1\0", Syntax::Toml));
    assert_eq!(said.code(), Code::Parse);
}

#[test]
fn a_path_beyond_utf8_is_an_error_and_not_a_crash() {
    let said = error(Model::open(OsStr::from_bytes(b"/no/such/\xFF")));
    assert_eq!((said.code(), said.subject()), (Code::NotFound, "/no/such/\u{FFFD}"));
}

#[test]
fn calls_out_of_order_and_out_of_range() {
    let scene = Scene::new(1);
    let mut session = scene.session(Options::new().unwrap());
    assert_eq!(error(session.next_block()).code(), Code::InvalidState);
    assert_eq!(session.state(), State::Created);
    assert_eq!(error(Context::new().unwrap().set_threads(1025)).code(), Code::InvalidArgument);
    assert_eq!(error(Calibration::new(0)).code(), Code::InvalidArgument);
    assert_eq!(error(Calibration::new(usize::MAX)).code(), Code::InvalidArgument);
    assert_eq!(error(scene.model.tensor("none")).code(), Code::NotFound);
    assert_eq!(error(Options::new().unwrap().set_device("cuda:99")).code(), Code::Unsupported);
    assert_eq!(error(Options::new().unwrap().set_device("tpu")).code(), Code::InvalidArgument);
    assert_eq!(error(Options::new().unwrap().set_output("out", "compresed-tensors")).code(), Code::Unsupported);
}

#[test]
fn a_run_that_fails_says_why_and_leaves_nothing() {
    let mut scene = Scene::new(1);
    scene.data.add_tokens(&[1, 272, 2]).unwrap();
    let (options, _) = scene.writing_to("out");
    let said = error(scene.oneshot(options));
    assert_eq!(said.code(), Code::InvalidArgument);
    assert!(said.message().contains("sample 8, token 1: id 272"), "{said}");
    assert!(scene.siblings().is_empty());
}

#[test]
fn a_memory_limit_is_kept() {
    let scene = Scene::new(1);
    let mut options = Options::new().unwrap();
    options.set_memory_limit("cpu", 1).unwrap();
    assert_eq!(error(scene.oneshot(options)).code(), Code::InvalidArgument);
}

#[test]
fn an_error_is_an_error_and_crosses_threads() {
    fn check<T: std::error::Error + Send + Sync + Clone + 'static>() {}
    check::<Error>();
}
