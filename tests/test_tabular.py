from degreequant.tabular import Table


def test_columns_are_as_wide_as_they_must_be():
    lines = str(Table("", {"a": "left", "number": "right"}, [("long text", "1"), ("b", "23")])).splitlines()
    assert lines == ["a          number", "---------  ------", "long text       1", "b              23"]


def test_a_table_without_rows_has_headings():
    assert str(Table("Nothing", {"a": "left"}, [])).splitlines() == ["Nothing", "a", "-"]
