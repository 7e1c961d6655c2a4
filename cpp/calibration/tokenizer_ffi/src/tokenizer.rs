//! Hugging Face tokenizers: checks that the `tokenizers` crate leaves to its callers, then the crate itself.

use serde::Deserialize;
use serde_json::value::RawValue;
use tokenizers::{ModelWrapper, Tokenizer};

/// Ids that an embedding can have. The crate accepts any 32-bit id.
const MAX_VOCAB_SIZE: u32 = 1 << 22;
/// Normalizers, pre-tokenizers, post-processors and decoders of one file. Each runs over each text.
const MAX_COMPONENTS: usize = 1000;

pub struct LoadedTokenizer {
    tokenizer: Tokenizer,
    vocab_size: u32,
}

/// The parts of tokenizer.json that are checked before the crate sees them.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow, default)]
    normalizer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pre_tokenizer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    post_processor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    decoder: Option<&'a RawValue>,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

impl Outline<'_> {
    fn check(&self) -> Result<(), String> {
        let parts = [self.normalizer, self.pre_tokenizer, self.post_processor, self.decoder];
        let components: usize = parts.iter().flatten().map(|part| part.get().matches("\"type\"").count()).sum();
        if components > MAX_COMPONENTS {
            return Err(format!("{components} normalizers and other components; at most {MAX_COMPONENTS} are allowed"));
        }
        match self.added_tokens.iter().find(|token| token.content.is_empty()) {
            Some(token) => Err(format!("the added token with id {} is an empty string", token.id)),
            None => Ok(()),
        }
    }
}

impl LoadedTokenizer {
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let outline: Outline = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        outline.check()?;

        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|e| e.to_string())?;
        tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
        tokenizer.with_padding(None);
        tokenizer = without_dropout_and_cache(tokenizer);

        let largest = tokenizer.get_vocab(true).into_values().max().ok_or("the vocabulary is empty")?;
        if largest >= MAX_VOCAB_SIZE {
            return Err(format!("token id {largest} is out of range; ids below {MAX_VOCAB_SIZE} are allowed"));
        }
        Ok(Self { tokenizer, vocab_size: largest + 1 })
    }

    pub fn vocab_size(&self) -> u32 {
        self.vocab_size
    }

    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, String> {
        // Unlike encode(), encode_fast() does not compute offsets.
        let encoding = self.tokenizer.encode_fast(text, add_special_tokens).map_err(|e| e.to_string())?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The ids without special tokens around them, and the byte of the text that each begins at. One that begins before
    /// the token before it, as where spaces are trimmed, counts as beginning there too: these bytes never fall.
    pub fn encode_with_offsets(&self, text: &str) -> Result<(Vec<u32>, Vec<u32>), String> {
        let encoding = self.tokenizer.encode(text, false).map_err(|e| e.to_string())?;
        let latest = encoding.get_offsets().iter().scan(0, |latest, &(begin, _)| {
            *latest = begin.max(*latest);
            Some(u32::try_from(*latest))
        });
        Ok((encoding.get_ids().to_vec(), latest.collect::<Result<_, _>>().map_err(|e| e.to_string())?))
    }

    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String, String> {
        self.tokenizer.decode(ids, skip_special_tokens).map_err(|e| e.to_string())
    }

    /// The mask marks what the post-processor added, so one encoding shows both sides.
    pub fn affixes(&self) -> Result<(Vec<u32>, Vec<u32>), String> {
        let encoding = self.tokenizer.encode("a", true).map_err(|e| e.to_string())?;
        let (ids, mask) = (encoding.get_ids(), encoding.get_special_tokens_mask());
        let first = mask.iter().position(|&special| special == 0).unwrap_or(mask.len());
        let end = mask.iter().rposition(|&special| special == 0).map_or(mask.len(), |last| last + 1);
        Ok((ids[..first].to_vec(), ids[end..].to_vec()))
    }
}

/// Dropout is for training a model: the ids of a text would be different each time. The crate's cache of words belongs to
/// a thread, outlives the tokenizer and is spread over all of the heap that a text takes; without it a text takes a tenth
/// longer.
fn without_dropout_and_cache(mut tokenizer: Tokenizer) -> Tokenizer {
    if let ModelWrapper::BPE(bpe) = tokenizer.get_model() {
        let mut bpe = bpe.clone();
        bpe.dropout = None;
        bpe.resize_cache(0);
        tokenizer.with_model(bpe);
    }
    tokenizer
}
