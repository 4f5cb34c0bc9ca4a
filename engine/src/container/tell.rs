//! What happens to a container, told to the journal of events.

use std::collections::BTreeMap;

use super::Container;
use crate::events::{Event, Journal, Kind};

/// What belongs to an event beside the container's own attributes.
pub(super) type Details<'a> = &'a [(&'a str, &'a str)];

impl Container {
    /// Tells that something has happened to it.
    pub(super) fn tell(&self, action: &str, details: Details<'_>) {
        let event = Event::now(
            Kind::Container,
            action,
            self.id().as_str(),
            self.attributes(details),
        );
        Journal::of(self.root()).record(&event);
    }

    /// As Docker has them: the labels, image and name, and what belongs to the event.
    fn attributes(&self, details: Details<'_>) -> BTreeMap<String, String> {
        let config = self.config();
        let mut attributes = config.process.labels.clone();
        let own = [
            ("image", config.image.reference.as_str()),
            ("name", config.name.as_str()),
        ];
        let all = own.iter().chain(details);
        attributes.extend(all.map(|&(name, value)| (name.to_owned(), value.to_owned())));
        attributes
    }
}
