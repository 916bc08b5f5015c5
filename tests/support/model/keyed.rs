//! A map from a site's few toggles, in their order: flat, for it is asked many times at every step.

use std::ops::Index;

use pilotlight::core::ToggleKey;

/// Something for each toggle.
#[derive(Clone, Debug)]
pub struct Keyed<T>(Vec<(ToggleKey, T)>);

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Keyed<T> {
    pub fn get(&self, key: ToggleKey) -> Option<&T> {
        self.iter().find(|(other, _)| **other == key).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, key: ToggleKey) -> Option<&mut T> {
        self.iter_mut()
            .find(|(other, _)| **other == key)
            .map(|(_, value)| value)
    }

    pub fn contains_key(&self, key: ToggleKey) -> bool {
        self.get(key).is_some()
    }

    /// What was there before.
    pub fn insert(&mut self, key: ToggleKey, value: T) -> Option<T> {
        match self.0.binary_search_by_key(&key, |(other, _)| *other) {
            Ok(index) => Some(std::mem::replace(&mut self.0[index].1, value)),
            Err(index) => {
                self.0.insert(index, (key, value));
                None
            }
        }
    }

    pub fn remove(&mut self, key: ToggleKey) -> Option<T> {
        let index = self.0.iter().position(|(other, _)| *other == key)?;
        Some(self.0.remove(index).1)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ToggleKey, &T)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&ToggleKey, &mut T)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub fn keys(&self) -> impl Iterator<Item = &ToggleKey> {
        self.0.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }
}

impl<T: Default> Keyed<T> {
    /// What is there, or a new one.
    pub fn or_default(&mut self, key: ToggleKey) -> &mut T {
        if !self.contains_key(key) {
            self.insert(key, T::default());
        }
        self.get_mut(key).expect("just made")
    }
}

impl<T> Index<&ToggleKey> for Keyed<T> {
    type Output = T;

    fn index(&self, key: &ToggleKey) -> &T {
        self.get(*key).expect("the layout has it")
    }
}

impl<T> FromIterator<(ToggleKey, T)> for Keyed<T> {
    fn from_iter<I: IntoIterator<Item = (ToggleKey, T)>>(all: I) -> Self {
        let mut keyed = Self::default();
        for (key, value) in all {
            keyed.insert(key, value);
        }
        keyed
    }
}
