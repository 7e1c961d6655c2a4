//! A small llama checkpoint in a temporary folder, for tests and doctests: `config.json` and `model.safetensors`
//! with pseudo-random bf16 weights, as `tests/support/toy_checkpoint.c` writes them for C and C++, and the tokenizer that their
//! tests use. Knows nothing of libautoround.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io, process};

const TOKENIZER: &str = include_str!("../../../../tests/support/tiny_tokenizer/tokenizer.json");
const LAYERS: usize = 2;
const HIDDEN: usize = 64;
const KEY_VALUE: usize = 32; // 4 heads of 16 share 2 of keys and values
const INTERMEDIATE: usize = 128; // divisible by 64, as the groups of the example programs
const VOCABULARY: usize = 272; // as many as the tokenizer has, and one

/// A folder that goes away with this: the model in `model`, room for outputs beside it.
pub struct Toy {
    folder: PathBuf,
}

impl Toy {
    /// # Panics
    /// When the temporary folder cannot be written.
    #[allow(clippy::new_without_default)] // it writes files
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("autoround-toy-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let toy = Self { folder: env::temp_dir().join(name) };
        toy.write().expect("a temporary folder that can be written");
        toy
    }

    /// The checkpoint's folder.
    pub fn model(&self) -> PathBuf {
        self.path("model")
    }

    /// The path of its `tokenizer.json`.
    pub fn tokenizer(&self) -> PathBuf {
        self.model().join("tokenizer.json")
    }

    /// A place beside it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// 8 samples of up to 16 token ids, some shorter.
    pub fn samples() -> Vec<Vec<i64>> {
        let vocabulary = VOCABULARY as i64;
        (0..8).map(|sample| (0..16 - sample % 3).map(|i| (7 * sample + 3 * i * i + i) % vocabulary).collect()).collect()
    }

    /// The same samples as a `.jsonl` file beside the model.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn jsonl(&self) -> PathBuf {
        let lines: String = Self::samples().iter().map(|ids| format!("{{\"input_ids\": {ids:?}}}\n")).collect();
        let path = self.path("ids.jsonl");
        fs::write(&path, lines).expect("a file");
        path
    }

    fn write(&self) -> io::Result<()> {
        fs::create_dir_all(self.model())?;
        fs::write(self.model().join("config.json"), config())?;
        fs::write(self.model().join("tokenizer.json"), TOKENIZER)?;
        fs::write(self.model().join("model.safetensors"), weights())
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder); // what stays is in the folder for temporary files
    }
}

/// Every file of a folder with its bytes, sorted by name.
///
/// # Panics
/// When the folder cannot be read.
pub fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |entry: io::Result<fs::DirEntry>| {
        let path = entry?.path();
        Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), fs::read(&path)?))
    };
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(read).collect::<io::Result<_>>().expect("files that can be read");
    files.sort();
    files
}

fn config() -> String {
    format!(
        r#"{{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
 "hidden_size": {HIDDEN}, "intermediate_size": {INTERMEDIATE}, "num_hidden_layers": {LAYERS}, "num_attention_heads": 4,
 "num_key_value_heads": 2, "vocab_size": {VOCABULARY}, "max_position_embeddings": 2048, "rms_norm_eps": 1e-05,
 "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true}}"#
    )
}

/// Names and shapes in the order of the file.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut list = vec![("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, HIDDEN])];
    for layer in 0..LAYERS {
        let mut add =
            |name: &str, shape: &[usize]| list.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec()));
        add("input_layernorm", &[HIDDEN]);
        add("post_attention_layernorm", &[HIDDEN]);
        add("self_attn.q_proj", &[HIDDEN, HIDDEN]);
        add("self_attn.k_proj", &[KEY_VALUE, HIDDEN]);
        add("self_attn.v_proj", &[KEY_VALUE, HIDDEN]);
        add("self_attn.o_proj", &[HIDDEN, HIDDEN]);
        add("mlp.gate_proj", &[INTERMEDIATE, HIDDEN]);
        add("mlp.up_proj", &[INTERMEDIATE, HIDDEN]);
        add("mlp.down_proj", &[HIDDEN, INTERMEDIATE]);
    }
    list.push(("model.norm.weight".to_owned(), vec![HIDDEN]));
    list
}

fn weights() -> Vec<u8> {
    let (mut header, mut data) = (String::new(), Vec::new());
    let mut state = 88_172_645_463_325_253;
    for (name, shape) in tensors() {
        let begin = data.len();
        for _ in 0..shape.iter().product() {
            // Norm weights sit near 1, the others near 0 with a spread that keeps activations alive.
            let value = if shape.len() == 1 { 1.0 + 0.1 * normal(&mut state) } else { 0.2 * normal(&mut state) };
            data.extend(((value.to_bits() >> 16) as u16).to_le_bytes()); // bf16: the upper half of a float
        }
        let comma = if header.is_empty() { "" } else { "," };
        let end = data.len();
        write!(header, r#"{comma}"{name}":{{"dtype":"BF16","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#)
            .expect("a string grows");
    }
    let header = format!("{{{header}}}");
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// Roughly normal: the sum of four uniform numbers, from a linear congruential generator.
fn normal(state: &mut u64) -> f32 {
    let mut uniform = || {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 40) as f32 / 16_777_216.0 - 0.5
    };
    (0..4).map(|_| uniform()).sum()
}
