use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn image(name: &str) -> Image {
    (PathBuf::from(name), Whose { uid: None, owner: 0 })
}

/// A look at images that finds 7 bytes; below `/hangs`, it takes until the test opens the gate that it has locked.
fn gated() -> (Arc<Mutex<()>>, Arc<Look>) {
    let gate = Arc::new(Mutex::new(()));
    let behind = Arc::clone(&gate);
    let look = move |path: &Path, _| {
        if path.starts_with("/hangs") {
            let _open = behind.lock().expect("a lock");
        }
        Ok(Extent::File(7))
    };
    (gate, Arc::new(look))
}

#[test]
fn one_that_hangs_costs_itself_alone_and_comes_back() {
    let (gate, look) = gated();
    let closed = gate.lock().expect("a lock");
    let mut disks = Disks::with(Duration::from_millis(500), look);
    let images = || -> HashSet<Image> { ["/a", "/hangs", "/b", "/c"].into_iter().map(image).collect() };
    for round in 0..3 {
        let start = Instant::now();
        let extents = disks.look(images(), soon());
        // it is waited for once
        assert!(start.elapsed() < Duration::from_millis(if round == 0 { 1500 } else { 400 }));
        assert_eq!(extents.len(), 4);
        for (image, extent) in extents {
            let expected =
                if image.0.starts_with("/hangs") { Err(SILENT.into()) } else { Ok(Extent::File(7)) };
            assert_eq!(extent, expected, "{}", image.0.display());
        }
    }
    drop(closed);
    let until = Instant::now() + Duration::from_secs(10);
    while disks.look(images(), soon()).values().any(Result::is_err) {
        assert!(Instant::now() < until, "it does not come back");
    }
}

/// Looks at files by their names, and notes which thread did it.
fn noting(threads: &Arc<Mutex<Vec<thread::ThreadId>>>) -> Arc<Look> {
    let threads = Arc::clone(threads);
    Arc::new(move |path: &Path, _| {
        threads.lock().expect("a lock").push(thread::current().id());
        Ok(Extent::File(path.as_os_str().len() as u64))
    })
}

#[test]
fn those_that_are_known_are_looked_at_ahead() {
    let threads = Arc::default();
    let mut disks = Disks::with(PATIENCE, noting(&threads));
    let mut ahead = disks.ahead();
    let images: HashSet<Image> = ["/a", "/bb"].into_iter().map(image).collect();
    let expected = |images: &HashSet<Image>| -> Extents {
        let length = |image: &Image| Ok(Extent::File(image.0.as_os_str().len() as u64));
        images.iter().map(|image| (image.clone(), length(image))).collect()
    };
    let looks = || std::mem::take(&mut *threads.lock().expect("a lock"));
    let own = thread::current().id();
    // nothing is known yet
    ahead();
    assert_eq!(disks.look(images.clone(), soon()), expected(&images));
    assert!(disks.worker.is_some() && looks().iter().all(|thread| *thread != own));
    ahead();
    assert_eq!(disks.look(images.clone(), soon()), expected(&images));
    assert!(disks.worker.is_none(), "nothing is left for it");
    assert_eq!(looks(), [own; 2]);
    // what was told once is of its time: without another look ahead it is looked up
    assert_eq!(disks.look(images.clone(), soon()), expected(&images));
    assert!(looks().iter().all(|thread| *thread != own));
    // others than before
    ahead();
    let others: HashSet<Image> = ["/bb", "/ccc"].into_iter().map(image).collect();
    assert_eq!(disks.look(others.clone(), soon()), expected(&others));
    ahead();
    looks();
    assert_eq!(disks.look(others.clone(), soon()), expected(&others));
    assert_eq!(looks(), []);
}

#[test]
fn one_that_hangs_ahead_is_left_behind() {
    let (gate, look) = gated();
    let mut disks = Disks::with(Duration::from_millis(500), look);
    let mut ahead = disks.ahead();
    let images: HashSet<Image> = ["/a", "/hangs", "/b"].into_iter().map(image).collect();
    assert!(disks.look(images.clone(), soon()).values().all(Result::is_ok));
    let closed = gate.lock().expect("a lock");
    let away = thread::spawn(move || {
        ahead();
        ahead
    });
    let hanging = |extents: &Extents| extents.values().filter(|extent| extent.is_err()).count();
    for _ in 0..3 {
        let extents = disks.look(images.clone(), soon());
        assert_eq!((extents.len(), hanging(&extents)), (3, 1));
        assert_eq!(extents[&image("/hangs")], Err(SILENT.into()));
    }
    drop(closed);
    let mut ahead = away.join().expect("it came back");
    let until = Instant::now() + Duration::from_secs(10);
    while hanging(&disks.look(images.clone(), soon())) > 0 || disks.worker.is_some() {
        assert!(Instant::now() < until, "it does not come back");
        ahead();
    }
}

#[test]
fn without_time_there_is_a_reason() {
    let mut disks = Disks::with(PATIENCE, Arc::new(|_, _| Ok(Extent::Device)));
    let extents = disks.look([image("/a")].into(), Instant::now());
    assert_eq!(extents[&image("/a")], Err(NO_TIME.into()));
    assert_eq!(disks.look([image("/a")].into(), soon())[&image("/a")], Ok(Extent::Device));
}

#[test]
fn many_that_hang_take_few_threads() {
    let (gate, look) = gated();
    let closed = gate.lock().expect("a lock");
    let mut disks = Disks::with(Duration::from_millis(20), look);
    let images: HashSet<Image> = (0..50).map(|number| image(&format!("/hangs/{number}"))).collect();
    let extents = disks.look(images.clone(), soon());
    assert_eq!((extents.len(), disks.stuck.len()), (50, MAX_STUCK));
    assert!(extents.values().all(Result::is_err));
    drop(closed);
    let until = Instant::now() + Duration::from_secs(10);
    while disks.look(images.clone(), soon()).values().any(Result::is_err) {
        assert!(Instant::now() < until, "they do not come back");
    }
}

/// Whoever has images that hang, or are slow now and then, takes neither places nor time of others.
#[test]
fn one_owners_images_cost_no_other_owner_anything() {
    let (gate, look) = gated();
    let closed = gate.lock().expect("a lock");
    let slow_too = move |path: &Path, whose| {
        if path.starts_with("/slow") {
            thread::sleep(Duration::from_millis(15));
        }
        look(path, whose)
    };
    let mut disks = Disks::with(Duration::from_millis(200), Arc::new(slow_too));
    let of = |owner: u32, folder: &'static str, count: usize| {
        let whose = Whose { uid: None, owner };
        (0..count).map(move |number| (PathBuf::from(format!("{folder}/{number}")), whose))
    };
    let images = || -> HashSet<Image> {
        of(1, "/hangs", 8).chain(of(2, "/slow", 1000)).chain(of(3, "/well", 8)).collect()
    };
    for _ in 0..3 {
        let extents = disks.look(images(), Instant::now() + Duration::from_secs(2));
        assert_eq!(extents.len(), 1016);
        for (image, extent) in extents.iter().filter(|((_, whose), _)| whose.owner == 3) {
            assert_eq!(*extent, Ok(Extent::File(7)), "{}", image.0.display());
        }
    }
    assert!(disks.stuck.keys().filter(|(_, whose)| whose.owner == 1).count() <= MAX_STUCK);
    drop(closed);
}
