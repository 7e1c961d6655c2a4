//! Whole runs: the bytes are those of the command line, step by step or at once, in one thread or two.

mod scene;

use std::path::Path;
use std::process::Command;

use autoround::{Calibration, Code, Model, Options, Part, Recipe, Session, State, Syntax, oneshot, sys};
use autoround_toy::contents;
use scene::Scene;

/// The installed command; `AUTOROUND_COMMAND` says which when it is not on the path.
fn quantize_on_the_command_line(scene: &Scene, output: &Path) {
    let command = std::env::var_os("AUTOROUND_COMMAND").unwrap_or("autoround".into());
    let recipe = scene.toy.path("recipe.toml");
    std::fs::write(&recipe, scene.recipe.dump(Syntax::Toml).unwrap()).unwrap();
    let run = Command::new(&command)
        .args(["quantize", "--quiet", "--seqlen", &scene::WINDOW.to_string()])
        .arg(scene.toy.model())
        .args([Path::new("--output"), output, Path::new("--recipe"), &recipe])
        .args([Path::new("--calibration"), &scene.toy.jsonl()])
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn real_quantization() {
    let mut scene = Scene::new(20);
    scene.recipe.set("seqlen", scene::WINDOW as i64).unwrap();
    let (options, here) = scene.writing_to("here");
    let result = scene.oneshot(options).unwrap();
    assert_eq!(result.blocks().len(), 2);
    let there = scene.toy.path("there");
    quantize_on_the_command_line(&scene, &there);
    let files = contents(&here);
    assert!(files.iter().any(|(name, _)| name == "model.safetensors"), "no weights");
    assert!(files == contents(&there), "the command wrote other bytes");
}

#[test]
fn step_by_step_gives_the_bytes_of_oneshot() {
    let scene = Scene::new(4);
    let (options, at_once) = scene.writing_to("at_once");
    scene.oneshot(options).unwrap();

    let (options, in_steps) = scene.writing_to("in_steps");
    let mut session = scene.session(options);
    session.initialize().unwrap();
    session.start().unwrap();
    assert_eq!(session.next_block().unwrap(), Some(0));
    session.sequential_epoch_end().unwrap();
    assert_eq!(session.next_block().unwrap(), Some(1));
    session.sequential_epoch_end_modules(&["model.embed_tokens"]).unwrap(); // no decoding layer: nothing to do
    let two = session.sequential_epoch_end_modules(&["model.layers.0", "model.layers.1"]).unwrap_err();
    assert_eq!(two.code(), Code::InvalidArgument);
    assert_eq!(session.state(), State::Started);
    session.sequential_epoch_end_modules(&["model.layers.1"]).unwrap();
    assert_eq!(session.next_block().unwrap(), None);
    session.end().unwrap();
    assert_eq!(session.state(), State::Ended);
    session.finalize().unwrap();
    assert!(contents(&at_once) == contents(&in_steps), "other bytes step by step");
}

#[test]
fn two_sessions_in_two_threads() {
    let scene = Scene::new(10);
    let (options, alone) = scene.writing_to("alone");
    scene.oneshot(options).unwrap();

    let run = |mut session: Session<'static>| {
        session.initialize()?;
        session.start()?;
        while session.next_block()?.is_some() {
            session.sequential_epoch_end()?;
        }
        session.finalize()
    };
    let folders = std::thread::scope(|threads| {
        let started = ["first", "second"].map(|name| {
            let (options, folder) = scene.writing_to(name);
            let session = scene.session(options); // of one model
            (threads.spawn(move || run(session).unwrap()), folder)
        });
        started.map(|(thread, folder)| {
            thread.join().unwrap();
            folder
        })
    });
    for folder in folders {
        assert!(contents(&folder) == contents(&alone), "{} differs", folder.display());
    }
}

#[test]
fn tensors_stay_in_memory_without_an_output() {
    let scene = Scene::new(3);
    let result = scene.oneshot(Options::new().unwrap()).unwrap();
    let layer = result.layers().find(|layer| layer.name() == "model.layers.1.mlp.down_proj").unwrap();
    assert!(layer.scheme().is_some() && layer.reason().is_empty());

    let codes = layer.tensor(Part::Qweight).unwrap();
    assert_eq!((codes.dtype(), codes.shape()), ("U8", vec![64, 128]));
    assert!(codes.bytes().unwrap().iter().all(|code| *code < 16));
    assert_eq!(layer.tensor(Part::Scales).unwrap().shape(), [64, 128 / 32]);
    assert_eq!(layer.tensor(Part::ZeroPoints).unwrap_err().code(), Code::NotFound);

    let weight = layer.tensor(Part::Weight).unwrap();
    let mut copy = vec![0; weight.byte_size()];
    weight.copy_to(&mut copy).unwrap();
    assert_eq!((weight.dtype(), weight.byte_size()), ("F32", 4 * 64 * 128));
    assert_eq!(weight.bytes(), Some(&copy[..]));
    assert_eq!(weight.copy_to(&mut copy[1..]).unwrap_err().code(), Code::InvalidArgument);
    drop(result);
    assert_eq!(weight.bytes(), Some(&copy[..])); // the memory is the tensor's too
}

#[test]
fn tensors_are_in_the_files_when_there_is_an_output() {
    let scene = Scene::new(0);
    let (options, folder) = scene.writing_to("out");
    let result = oneshot(&scene.model, &scene.recipe, None, options).unwrap(); // iters 0 needs no data
    let layer = result.layers().next().unwrap();
    assert_eq!(layer.tensor(Part::Weight).unwrap_err().code(), Code::InvalidState);

    let quantized = Model::open(&folder).unwrap();
    let value = quantized.perplexity(&scene.data, Options::new().unwrap()).unwrap();
    assert!(value.is_finite() && value > 1.0, "{value}");
}

/// The head of `DLManagedTensorVersioned` in `dlpack.h`.
#[repr(C)]
struct Capsule {
    version: [u32; 2],
    manager_context: *mut std::ffi::c_void,
    deleter: Option<unsafe extern "C" fn(*mut sys::DLManagedTensorVersioned)>,
    flags: u64,
    data: *const u8,
}

#[test]
fn a_dlpack_capsule_shares_the_memory_and_keeps_it() {
    let scene = Scene::new(0);
    let tensor = scene.model.tensor("model.norm.weight").unwrap();
    let bytes = tensor.bytes().unwrap().to_vec();
    let data = tensor.bytes().unwrap().as_ptr();
    let raw = tensor.to_dlpack().unwrap();
    drop(tensor);
    unsafe {
        let capsule = raw.cast::<Capsule>().as_ref();
        assert_eq!((capsule.version[0], capsule.data), (1, data));
        assert_eq!(std::slice::from_raw_parts(capsule.data, bytes.len()), bytes);
        capsule.deleter.unwrap()(raw.as_ptr());
    }
}

#[test]
fn a_result_tells_what_happened() {
    let scene = Scene::new(10);
    let result = scene.oneshot(Options::new().unwrap()).unwrap();
    for block in result.blocks() {
        assert!(block.loss_after() <= block.loss_before(), "{}", block.name());
        assert!(block.seconds() > 0.0 && block.best_iteration().is_none_or(|best| best < 10));
    }
    let (quantized, others): (Vec<_>, Vec<_>) = result.layers().partition(|layer| layer.scheme().is_some());
    assert_eq!((quantized.len(), others.len(), others[0].name()), (14, 1, "lm_head"));
    assert!(!others[0].reason().is_empty());
    assert_eq!(result.warnings().count(), result.warnings().len());
    assert!(result.report().unwrap().starts_with('{'));
    assert!(result.report_html().unwrap().contains("<html"));
}

#[test]
fn a_model_and_a_plan_can_be_read_before_anything_runs() {
    let scene = Scene::new(10);
    let model = &scene.model;
    assert_eq!((model.architecture(), model.block_count()), ("LlamaForCausalLM", 2));
    assert_eq!((model.block_name(1), model.block_name(2)), (Some("model.layers.1"), None));
    assert_eq!(model.byte_size(), 2 * model.parameter_count());
    assert_eq!(model.modules().filter(|module| module.class() == "Linear" && module.block().is_some()).count(), 14);
    let plan = model.plan(&scene.recipe, None, &Options::new().unwrap()).unwrap();
    assert!(plan.contains("model.layers.0.self_attn.q_proj"), "{plan}");
}

#[test]
fn recipe_round_trip() {
    let scene = Scene::new(7);
    let file = scene.toy.path("recipe.yaml");
    std::fs::write(&file, scene.recipe.dump(Syntax::Yaml).unwrap()).unwrap();
    let loaded = Recipe::load(&file).unwrap();
    assert_eq!(loaded.dump(Syntax::Toml).unwrap(), scene.recipe.dump(Syntax::Toml).unwrap());

    let toml = Recipe::parse(&loaded.dump(Syntax::Toml).unwrap(), Syntax::Toml).unwrap();
    assert_eq!(toml.dump(Syntax::Yaml).unwrap(), scene.recipe.dump(Syntax::Yaml).unwrap());

    let mut copy = loaded.try_clone().unwrap();
    copy.set("weights.symmetric", false).unwrap().set("lr", 0.01).unwrap().append("ignore", "\u{1F600}").unwrap();
    assert_eq!(
        (loaded.get("weights.symmetric").unwrap(), copy.get("weights.symmetric").unwrap()),
        ("true".into(), "false".into())
    );
    assert!(copy.get("ignore").unwrap().contains('\u{1F600}'));
    for key in Recipe::keys() {
        assert!(!key.help.is_empty(), "{}", key.name);
        loaded.get(key.name).unwrap();
    }
}

#[test]
fn version() {
    assert!(autoround::build_info().contains(autoround::version()));
    assert_eq!(autoround::version().split('.').count(), 3);
    assert!(
        autoround::schemes().any(|name| name == "W4A16")
            && autoround::formats().any(|name| name == "compressed-tensors")
    );
}

#[test]
fn token_arrays() {
    let mut data = Calibration::new(8).unwrap();
    assert_eq!(data.add_tokens(&[]).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(data.add_tokens(&[1, -2]).unwrap_err().code(), Code::InvalidArgument);
    data.add_tokens(&[1, 2, 3]).unwrap();
    data.add_tokens(&[9, 4, 5, 9][1..3]).unwrap();
    assert_eq!((data.sample_count(), data.token_count()), (2, 5));
}

/// Nothing can be called on what was dropped: the types see to that. What is left is to drop what others still need.
#[test]
fn use_after_close() {
    let Scene { toy: _toy, model, recipe, data } = Scene::new(1);
    let mut session = Session::new(&model, &recipe, &data, Options::new().unwrap()).unwrap();
    drop((model, recipe, data));
    session.initialize().unwrap();
    session.start().unwrap();
    while session.next_block().unwrap().is_some() {
        session.sequential_epoch_end().unwrap();
    }
    let result = session.finalize().unwrap();
    assert_eq!(session.start().unwrap_err().code(), Code::InvalidState);
    drop(session);
    assert_eq!(result.blocks().len(), 2);
}

#[test]
fn text_and_files_become_windows() {
    let scene = Scene::new(0);
    let mut data = Calibration::new(8).unwrap();
    assert_eq!(data.add_file(scene.toy.jsonl(), 3, false).unwrap(), 3);
    assert_eq!(data.add_jsonl(scene.toy.jsonl(), Some("input_ids"), 0).unwrap(), 8);
    data.set_tokenizer(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/support/tiny_tokenizer/tokenizer.json"),
    )
    .unwrap();
    let windows = data.add_windows(&"the quick brown fox ".repeat(20), 2, true).unwrap();
    assert_eq!((windows, data.sample_count(), data.sequence_length()), (2, 13, 8));
}
