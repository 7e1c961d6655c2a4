//! Single layers.

use std::ffi::c_void;
use std::ops::ControlFlow;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use autoround::{Code, Events, Linear, Options, Part, Recipe, Result, RunResult, Tensor, sys};

const OUT: usize = 24;
const IN: usize = 64;

/// Inputs whose columns depend on one another, so that there is something to gain.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let mut row = vec![0.0_f32; IN];
    (0..count)
        .map(|i| {
            if i % IN == 0 {
                let (slow, fast) = (next(), next());
                let wave = |k: usize| slow * (k as f32 / 9.0).sin() + fast * (k as f32 / 2.0).cos();
                row = (0..IN).map(wave).collect();
            }
            row[i % IN] + 0.1 * next()
        })
        .collect()
}

fn layer() -> Linear {
    let weight = Tensor::from_f32(&[OUT, IN], &values(OUT * IN, 1)).unwrap();
    let mut layer = Linear::new("proj", &weight, None).unwrap();
    layer.add_inputs(&Tensor::from_f32(&[16, 4, IN], &values(16 * 4 * IN, 2)).unwrap(), None).unwrap();
    layer
}

fn recipe(scheme: &str, iters: i64) -> Recipe {
    let mut recipe = Recipe::new().unwrap();
    recipe.set("scheme", scheme).unwrap().set("iters", iters).unwrap();
    recipe
}

fn tune(layer: &Linear) -> Result<RunResult> {
    let mut recipe = recipe("W4A16", 40);
    recipe.set("weights.group_size", 32)?;
    layer.tune(&recipe, Options::new()?)
}

fn codes(result: &RunResult) -> Vec<u8> {
    let layer = result.layers().next().unwrap();
    layer.tensor(Part::Qweight).unwrap().bytes().unwrap().to_vec()
}

#[test]
fn tuning_beats_rounding_and_repeats_itself() {
    let layer = layer();
    assert_eq!((layer.sample_count(), layer.token_count()), (16, 64));
    let result = tune(&layer).unwrap();
    let block = result.blocks().next().unwrap();
    assert!(block.loss_after() < 0.8 * block.loss_before(), "{} {}", block.loss_before(), block.loss_after());
    assert_eq!((block.name(), result.layers().len()), ("proj", 1));
    assert_eq!(codes(&result), codes(&tune(&layer).unwrap()));
}

#[test]
fn k_types_of_gguf_have_scales_of_scales() {
    let weight = Tensor::from_f32(&[8, 256], &values(8 * 256, 1)).unwrap();
    let linear = Linear::new("proj", &weight, None).unwrap();
    let result = linear.tune(&recipe("GGUF:Q4_K", 0), Options::new().unwrap()).unwrap();
    let layer = result.layers().next().unwrap();
    let shape_of = |part| layer.tensor(part).map(|tensor| (tensor.dtype().to_owned(), tensor.shape()));
    for part in [Part::Scales, Part::Minima] {
        assert_eq!(shape_of(part).unwrap(), ("F16".to_owned(), vec![8, 1]));
    }
    for part in [Part::ScaleFactors, Part::MinimumFactors] {
        assert_eq!(shape_of(part).unwrap(), ("I8".to_owned(), vec![8, 8]));
    }
}

#[test]
fn nvfp4_has_scales_of_its_own() {
    let result = layer().tune(&recipe("NVFP4", 5), Options::new().unwrap()).unwrap();
    let layer = result.layers().next().unwrap();
    assert_eq!(layer.tensor(Part::Scales).unwrap().dtype(), "F8_E4M3");
    for part in [Part::GlobalScale, Part::InputGlobalScale] {
        assert_eq!(layer.tensor(part).unwrap().shape(), [1]);
    }
    for part in [Part::ZeroPoints, Part::InputScale] {
        assert_eq!(layer.tensor(part).unwrap_err().code(), Code::NotFound);
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let mut weight = values(OUT * IN, 1);
    weight[2 * IN + 5] = f32::NAN;
    let error = Linear::new("proj", &Tensor::from_f32(&[OUT, IN], &weight).unwrap(), None).unwrap_err();
    assert_eq!((error.code(), error.subject()), (Code::Numeric, "proj"));
    assert!(error.message().contains("[2, 5]"), "{error}");

    assert_eq!(Tensor::from_f32(&[2, 2], &[1.0]).unwrap_err().subject(), "length");
    assert_eq!(Tensor::new("float", &[1], &[0; 4]).unwrap_err().subject(), "dtype");
    let mut layer = layer();
    let narrow = Tensor::from_f32(&[4, 8], &[1.0; 32]).unwrap();
    assert_eq!(layer.add_inputs(&narrow, None).unwrap_err().code(), Code::InvalidArgument);
    let inputs = Tensor::from_f32(&[4, IN], &values(4 * IN, 3)).unwrap();
    let targets = Tensor::from_f32(&[4, OUT], &[1.0; 4 * OUT]).unwrap();
    assert!(layer.add_inputs(&inputs, Some(&targets)).unwrap_err().message().contains("all or for none"));
    assert_eq!(layer.sample_count(), 16);
    let mut ignoring = recipe("W4A16", 1);
    ignoring.append("ignore", "proj").unwrap();
    assert!(layer.tune(&ignoring, Options::new().unwrap()).unwrap_err().message().contains("ignored"));
}

#[test]
fn a_callback_stops_it() {
    let mut seen = 0;
    let mut options = Options::new().unwrap();
    options
        .set_callback(Events::ITERATION, |event| {
            seen += 1;
            assert_eq!((event.block(), event.name()), (Some(0), "proj"));
            if event.iteration() == Some(2) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    let error = layer().tune(&recipe("INT8", 50), options).unwrap_err();
    assert_eq!((error.code(), seen), (Code::Cancelled, 3));
}

/// `DLManagedTensorVersioned` of `dlpack.h`, over memory that counts how often it was given back.
#[repr(C)]
struct Capsule {
    version: [u32; 2],
    manager_context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Self)>,
    flags: u64,
    data: *const f32,
    device: [i32; 2],
    rank: i32,
    dtype: (u8, u8, u16),
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
}

static DELETED: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" fn count_deleted(_: *mut Capsule) {
    DELETED.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_capsule_is_taken_over_and_given_back() {
    let inputs = values(16 * 4 * IN, 2);
    let shape = [16, 4, IN as i64];
    let mut capsule = Capsule {
        version: [1, 0],
        manager_context: std::ptr::null_mut(),
        deleter: Some(count_deleted),
        flags: 0,
        data: inputs.as_ptr(),
        device: [2, 0], // CUDA
        rank: 3,
        dtype: (2, 32, 1),
        shape: shape.as_ptr(),
        strides: std::ptr::null(),
        byte_offset: 0,
    };
    let raw = NonNull::from(&mut capsule).cast::<sys::DLManagedTensorVersioned>();
    let error = unsafe { Tensor::from_dlpack(raw) }.unwrap_err();
    assert_eq!((error.code(), DELETED.load(Ordering::Relaxed)), (Code::Unsupported, 0));

    unsafe { raw.cast::<Capsule>().as_mut() }.device = [1, 0];
    let tensor = unsafe { Tensor::from_dlpack(raw) }.unwrap();
    assert_eq!(tensor.bytes().unwrap().as_ptr(), inputs.as_ptr().cast());
    let weight = Tensor::from_f32(&[OUT, IN], &values(OUT * IN, 1)).unwrap();
    let mut shared = Linear::new("proj", &weight, None).unwrap();
    shared.add_inputs(&tensor, None).unwrap();
    drop(tensor);
    assert_eq!(codes(&tune(&shared).unwrap()), codes(&tune(&layer()).unwrap()));
    assert_eq!(DELETED.load(Ordering::Relaxed), 0);
    drop(shared);
    assert_eq!(DELETED.load(Ordering::Relaxed), 1);
}
