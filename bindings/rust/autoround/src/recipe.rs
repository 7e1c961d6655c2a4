//! What is computed.

use std::ffi::CStr;
use std::path::Path;
use std::ptr::null;

use crate::call::{borrowed_text, c_path, c_text, check, create, owned_text};
use crate::handle::Handle;
use crate::{Model, Result, sys};

/// The text forms of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Syntax {
    /// TOML.
    Toml,
    /// YAML, as llm-compressor writes it.
    Yaml,
}

impl Syntax {
    fn name(self) -> &'static CStr {
        match self {
            Self::Toml => c"toml",
            Self::Yaml => c"yaml",
        }
    }
}

/// A value for [`Recipe::set`]; `&str`, whole numbers, `f64` and `bool` turn into one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RecipeValue<'v> {
    /// `"scheme"` takes one.
    Text(&'v str),
    /// `"iters"` and `"weights.group_size"` take one.
    Int(i64),
    /// `"lr"` takes one.
    Float(f64),
    /// `"weights.symmetric"` takes one.
    Bool(bool),
}

macro_rules! value_from {
    ($($type:ty => $variant:ident;)*) => {$(
        impl<'v> From<$type> for RecipeValue<'v> {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

value_from! {
    &'v str => Text;
    i32 => Int;
    u32 => Int;
    i64 => Int;
    f64 => Float;
    bool => Bool;
}

/// A key that [`Recipe::set`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecipeKey {
    /// `"weights.group_size"`.
    pub name: &'static str,
    /// One line of help.
    pub help: &'static str,
}

/// What is computed: scheme, layers, iterations. A recipe travels with the output.
///
/// ```
/// use autoround::{Recipe, Syntax};
///
/// let mut recipe = Recipe::new()?;
/// recipe.set("scheme", "W4A16")?.set("weights.group_size", 64)?.set("iters", 50)?.append("ignore", "lm_head")?;
/// let yaml = recipe.dump(Syntax::Yaml)?;
/// assert_eq!(Recipe::parse(&yaml, Syntax::Yaml)?.get("iters")?, "50");
///
/// let error = recipe.set("itres", 3).err().unwrap();
/// assert_eq!(error.subject(), "itres");
/// # Ok::<(), autoround::Error>(())
/// ```
#[derive(Debug)]
pub struct Recipe(Handle<sys::autoround_recipe>);

impl Recipe {
    /// Every key at its default; set `"scheme"` at least.
    ///
    /// # Errors
    /// None of its own.
    pub fn new() -> Result<Self> {
        create(|out, error| unsafe { sys::autoround_recipe_new(out, error) }).map(Self)
    }

    /// Reads a text of at most 1 MiB.
    ///
    /// # Errors
    /// [`Parse`](crate::Code::Parse) with line and column: syntax, a key that is unknown (with the nearest name) or a value out of range;
    /// [`Unsupported`](crate::Code::Unsupported).
    pub fn parse(text: &str, syntax: Syntax) -> Result<Self> {
        create(|out, error| unsafe {
            sys::autoround_recipe_parse(text.as_ptr().cast(), text.len(), syntax.name().as_ptr(), out, error)
        })
        .map(Self)
    }

    /// Reads a file; the syntax comes from its suffix `.toml`, `.yaml` or `.yml`.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse), [`NotFound`](crate::Code::NotFound), [`Io`](crate::Code::Io).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = c_path(path.as_ref(), "path")?;
        create(|out, error| unsafe { sys::autoround_recipe_load(path.as_ptr(), out, error) }).map(Self)
    }

    /// An independent copy.
    ///
    /// # Errors
    /// None of its own.
    pub fn try_clone(&self) -> Result<Self> {
        create(|out, error| unsafe { sys::autoround_recipe_clone(self.as_ptr(), out, error) }).map(Self)
    }

    /// Sets one of the [`keys`](Self::keys). After an error the recipe is unchanged.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument), with the key as its subject: unknown (the message has the nearest name), of
    /// another type, or out of range.
    pub fn set<'v>(&mut self, key: &str, value: impl Into<RecipeValue<'v>>) -> Result<&mut Self> {
        let (recipe, key) = (self.as_ptr(), c_text(key, "key")?);
        match value.into() {
            RecipeValue::Text(value) => {
                let value = c_text(value, "value")?;
                check(|error| unsafe { sys::autoround_recipe_set_string(recipe, key.as_ptr(), value.as_ptr(), error) })
            }
            RecipeValue::Int(value) => {
                check(|error| unsafe { sys::autoround_recipe_set_int(recipe, key.as_ptr(), value, error) })
            }
            RecipeValue::Float(value) => {
                check(|error| unsafe { sys::autoround_recipe_set_double(recipe, key.as_ptr(), value, error) })
            }
            RecipeValue::Bool(value) => {
                check(|error| unsafe { sys::autoround_recipe_set_bool(recipe, key.as_ptr(), value.into(), error) })
            }
        }?;
        Ok(self)
    }

    /// Adds to a key that holds a list: `"ignore"`, `"targets"`.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn append(&mut self, key: &str, value: &str) -> Result<&mut Self> {
        let (key, value) = (c_text(key, "key")?, c_text(value, "value")?);
        check(|error| unsafe { sys::autoround_recipe_append(self.as_ptr(), key.as_ptr(), value.as_ptr(), error) })?;
        Ok(self)
    }

    /// The value as text, "" when unset.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) for an unknown key.
    pub fn get(&self, key: &str) -> Result<String> {
        let key = c_text(key, "key")?;
        owned_text(|out, error| unsafe { sys::autoround_recipe_get(self.as_ptr(), key.as_ptr(), out, error) })
    }

    /// Checks the rules that need no model and, with a model, that every target matches and every group size divides.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) with all offenders, [`Unsupported`](crate::Code::Unsupported).
    pub fn validate<'m>(&self, model: impl Into<Option<&'m Model>>) -> Result<()> {
        let model = model.into().map_or(null(), |model| model.as_ptr().cast_const());
        check(|error| unsafe { sys::autoround_recipe_validate(self.as_ptr(), model, error) })
    }

    /// Text that parses back to an equal recipe.
    ///
    /// # Errors
    /// None of its own.
    pub fn dump(&self, syntax: Syntax) -> Result<String> {
        owned_text(|out, error| unsafe {
            sys::autoround_recipe_dump(self.as_ptr(), syntax.name().as_ptr(), out, error)
        })
    }

    /// The keys that [`set`](Self::set), [`append`](Self::append) and [`get`](Self::get) know.
    pub fn keys() -> impl ExactSizeIterator<Item = RecipeKey> {
        (0..unsafe { sys::autoround_recipe_key_count() }).map(|index| unsafe {
            RecipeKey {
                name: borrowed_text(sys::autoround_recipe_key_name(index)),
                help: borrowed_text(sys::autoround_recipe_key_help(index)),
            }
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::autoround_recipe {
        self.0.as_ptr()
    }
}
