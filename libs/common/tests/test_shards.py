"""`LINLI_SHARDS` says on which database server a district lives, and nothing that is wrong is taken for a map."""

import pytest

from linli.shards import BadShards, Shards


def test_a_district_lives_on_the_server_that_names_it_and_all_others_at_home() -> None:
    shards = Shards.parse('{"postgres-2:5432": [310104, 310115], "[fd00::1]:6432": [310101], "next:5432": []}')
    assert shards.addresses == ("postgres-2:5432", "[fd00::1]:6432", "next:5432")
    assert shards.of(310104) == shards.of(310115) == "postgres-2:5432"
    assert shards.of(310101) == "[fd00::1]:6432"
    assert shards.of(310106) is None
    assert shards.of(0) is None


@pytest.mark.parametrize("text", ["", " \n", "{}"])
def test_without_a_map_there_is_one_server(text: str) -> None:
    assert Shards.parse(text) == Shards()
    assert Shards().addresses == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ('[["a:1", [310104]]]', "no JSON object"),
        ("null", "no JSON object"),
        ('{"postgres-2": [310104]}', "no host:port"),
        ('{"postgres-2:0": [310104]}', "no host:port"),
        ('{"postgres-2:70000": [310104]}', "no host:port"),
        ('{"u:secret@postgres-2:5432": [310104]}', "no host:port"),
        ('{"postgres-2:5432/tickets": [310104]}', "no host:port"),
        ('{"a:1": 310104}', "no list of districts"),
        ('{"a:1": [3101]}', "no district of six digits"),
        ('{"a:1": ["310104"]}', "no district of six digits"),
        ('{"a:1": [310104003]}', "no district of six digits"),
        ('{"a:1": [0]}', "no district of six digits"),
        ('{"a:1": [310104], "b:1": [310104]}', "310104 is named twice"),
        ('{"a:1": [310104, 310104]}', "310104 is named twice"),
        # A plain dict would keep the second and forget a district.
        ('{"a:1": [310104], "a:1": [310115]}', "a:1 is named twice"),
    ],
)
def test_what_is_wrong_is_said_in_both_languages(text: str, reason: str) -> None:
    with pytest.raises(BadShards, match=reason) as refused:
        Shards.parse(text)
    assert "分片设置 LINLI_SHARDS 有误" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "elsewhere"),
    [
        ("postgresql://u:p%40s@postgres:5432/tickets", "postgresql://u:p%40s@postgres-2:6432/tickets"),
        ("postgresql://u@/tickets?host=/tmp/pg", "postgresql://u@postgres-2:6432/tickets"),
        ("postgresql://u:p@h/t?sslmode=require&port=1", "postgresql://u:p@postgres-2:6432/t?sslmode=require"),
    ],
)
def test_another_server_is_asked_for_the_same_database_as_the_same_user(url: str, elsewhere: str) -> None:
    assert Shards.at(url, "postgres-2:6432") == elsewhere
    assert Shards.at(url, None) == url
