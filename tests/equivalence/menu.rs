//! The forms to choose from, and the parameters that the sequences of a batch have in
//! common.

use std::sync::Arc;

use super::case::Image;
use super::forms::{Form, Kind};
use super::layout::{self, DATA_LEN, PAGE};
use super::rng::Rng;

/// The forms to make sequences of, by kind.
pub struct Menu {
    all: Vec<Form>,
    integer: Vec<Form>,
    vector: Vec<Form>,
    x87: Vec<Form>,
}

impl Menu {
    /// The menu of `forms`.
    pub fn new(forms: Vec<Form>) -> Self {
        let of = |kind: Kind| {
            forms
                .iter()
                .copied()
                .filter(|form| form.kind == kind)
                .collect()
        };
        Self {
            integer: of(Kind::Integer),
            vector: of(Kind::Vector),
            x87: of(Kind::X87),
            all: forms,
        }
    }

    /// A form, likely one of kind `theme`.
    pub fn pick(&self, theme: Kind, rng: &mut Rng) -> Form {
        let themed = match theme {
            Kind::Integer => &self.integer,
            Kind::Vector => &self.vector,
            Kind::X87 => &self.x87,
            Kind::Privileged => &self.all,
        };
        match !themed.is_empty() && rng.chance(85) {
            true => rng.pick(themed),
            false => rng.pick(&self.all),
        }
    }
}

/// What the sequences of a batch have in common.
#[derive(Clone)]
pub struct Setting {
    pub fs_base: u64,
    pub gs_base: u64,
    pub image: Arc<Image>,
}

impl Setting {
    /// A random one.
    pub fn random(rng: &mut Rng) -> Self {
        let base = |rng: &mut Rng| match rng.below(4) {
            0 => 0,
            1 => rng.below(1 << 20),
            2 => rng.below(1 << 47),
            _ => rng.below(1 << 20).wrapping_neg(),
        };
        Self {
            fs_base: base(rng),
            gs_base: base(rng),
            image: random_image(rng),
        }
    }
}

fn random_image(rng: &mut Rng) -> Arc<Image> {
    let mut image = [0; DATA_LEN];
    for bytes in image.chunks_exact_mut(16) {
        bytes.copy_from_slice(&rng.vector());
        if rng.chance(5) {
            // Somewhere for a wild `ret` to go.
            let landing = layout::LANDING + rng.below(PAGE);
            bytes[..8].copy_from_slice(&landing.to_le_bytes());
        }
    }
    Arc::new(image)
}
