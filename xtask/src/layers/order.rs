//! The order of rooms, as ARCHITECTURE.md has it.

use std::collections::HashMap;

/// Who may use whom in one place.
pub(super) struct Order {
    /// The folder of the sources, or `packages`.
    pub(super) place: String,
    /// The floor of each module, 0 on top, and its room there.
    rooms: HashMap<String, (usize, usize)>,
}

impl Order {
    /// All orders in `document`.
    pub(super) fn all(document: &str) -> Result<Vec<Order>, String> {
        let block = document
            .lines()
            .skip_while(|line| line.trim() != "```layers")
            .skip(1)
            .take_while(|line| line.trim() != "```");
        block.map(Order::parse).collect()
    }

    fn parse(line: &str) -> Result<Order, String> {
        let (place, floors) = line
            .split_once(": ")
            .ok_or_else(|| format!("{line}: this is not PLACE: ROOM -> ROOM"))?;
        let mut rooms = HashMap::new();
        for (floor, beside) in floors.split("->").enumerate() {
            for (room, modules) in beside.split('|').enumerate() {
                for module in modules.split(',') {
                    if rooms
                        .insert(module.trim().to_owned(), (floor, room))
                        .is_some()
                    {
                        return Err(format!("{line}: {} stands there twice", module.trim()));
                    }
                }
            }
        }
        Ok(Order {
            place: place.trim().to_owned(),
            rooms,
        })
    }

    /// Whether there is such a module.
    pub(super) fn has(&self, module: &str) -> bool {
        self.rooms.contains_key(module)
    }

    /// What is wrong if `user` uses `used`.
    pub(super) fn objection(&self, user: &str, used: &str) -> Option<String> {
        let Some((user_floor, user_room)) = self.rooms.get(user) else {
            return Some(format!("{user} has no place in the order"));
        };
        let Some((floor, room)) = self.rooms.get(used) else {
            return Some(format!(
                "{used} has no place in the order, and {user} uses it"
            ));
        };
        match floor.cmp(user_floor) {
            std::cmp::Ordering::Less => Some(format!("{used} stands above {user}, which uses it")),
            std::cmp::Ordering::Equal if room != user_room => {
                Some(format!("{used} stands beside {user}, which uses it"))
            }
            _ => None,
        }
    }
}
