use super::*;

#[test]
fn a_name_is_that_of_now_whatever_the_record_was_named_before() {
    let mut resource = Resource::VACANT;
    let names: [(&[u8], Option<Idx<NameCell>>); 4] = [
        (b"of twenty-four bytes all", None),
        (b"b", None),
        (&[7; 25], Some(Idx::new(0x0102_0304))),
        (b"no", None),
    ];
    for (name, cell) in names {
        resource.set_name(name, cell);
        assert_eq!(resource.name_cell(), cell);
        if cell.is_none() {
            assert_eq!(resource.short_name(), Some(name));
            assert_eq!(Ok(resource.copy_short_name()), Name::new(name));
        }
    }
}
