//! Memory is let go of. One test, because it looks at the whole process.

mod scene;

use autoround::{Calibration, Error, Model, Options, Recipe, Syntax, live_handles};
use scene::Scene;

/// Resident bytes of this process.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("a Linux machine");
    let pages: usize = pages.split(' ').nth(1).and_then(|field| field.parse().ok()).expect("a number");
    pages * 4096
}

fn fail() -> [Error; 4] {
    let mut recipe = Recipe::new().unwrap();
    [
        Model::open("/no/such/model").unwrap_err(),
        Recipe::parse("scheme = 4", Syntax::Toml).unwrap_err(),
        recipe.set("itres", 3).unwrap_err(),
        Calibration::new(0).unwrap_err(),
    ]
}

#[test]
fn ten_thousand_failing_calls_and_runs_leave_nothing() {
    {
        let scene = Scene::new(1);
        let result = scene.oneshot(Options::new().unwrap()).unwrap();
        let tensor = scene.model.tensor("model.norm.weight").unwrap();
        assert_eq!((live_handles("model"), live_handles("result"), live_handles("no such kind")), (1, 1, 0));
        drop((scene, result)); // in any order
        assert_eq!(tensor.shape(), [64]);
    }
    assert_eq!(live_handles(None), 0);

    (0..500).for_each(|_| drop(fail())); // caches and arenas fill
    let before = resident();
    (0..2_500).for_each(|_| drop(fail()));
    let grown = resident().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes more after 10,000 failing calls");
    assert_eq!(live_handles(None), 0);
}
