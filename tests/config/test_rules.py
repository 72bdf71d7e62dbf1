"""What several keys must agree upon: impossible combinations are refused with the reason, possible ones load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., Path]
Faults = Callable[..., list[str]]

SUFFIX = 'suffix = "students.contoso.edu"'


def profile(name: str = "second", **keys: str) -> str:
    """A [profiles.NAME] table, sound unless a key says otherwise; values are TOML."""
    defaults = {"source": '"district"', "tenant": '"contoso"', "schools": '["Oak High"]', "users": '"match"'}
    return f"\n[profiles.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in {**defaults, **keys}.items())


def tenant(name: str, tenant_id: str, extra: str = 'client_secret = "env:X"') -> str:
    return f'\n[tenants.{name}]\ntenant_id = "{tenant_id}"\nclient_id = "42"\n{extra}\n'


def source(name: str, url: str) -> str:
    return f'\n[sources.{name}]\ntype = "powerschool"\nurl = "{url}"\nclient_id = "a"\nclient_secret = "env:X"\n'


GROUP = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER_TENANT = "11111111-2222-3333-4444-555555555555"


class TestIdentity:
    """SDS's matrix: every pair of source property and target, with and without a suffix."""

    POSSIBLE = frozenset(
        {
            ("username", False, "userPrincipalName"),
            ("username", False, "mail"),
            ("username", False, "mailNickname"),
            ("username", True, "userPrincipalName"),
            ("username", True, "mail"),
            ("number", False, "mailNickname"),
            ("number", True, "userPrincipalName"),
            ("number", True, "mail"),
            ("secondary_email", False, "userPrincipalName"),
            ("secondary_email", False, "mail"),
        }
    )

    @pytest.mark.parametrize("role", ["students", "teachers"])
    @pytest.mark.parametrize("target", ["userPrincipalName", "mail", "mailNickname"])
    @pytest.mark.parametrize("suffix", [False, True])
    @pytest.mark.parametrize("prop", ["username", "number", "secondary_email"])
    def test_matrix(self, write: Write, faults: Faults, prop: str, suffix: bool, target: str, role: str) -> None:
        keys = f'source_property = "{prop}"\ntarget_property = "{target}"\n'
        keys += 'suffix = "contoso.edu"\n' if suffix else ""
        path = write({"[profiles.pilot.students]": f"[profiles.pilot.{role}]", SUFFIX: keys})
        found = faults(path)
        assert (not found) == ((prop, suffix, target) in self.POSSIBLE)
        assert all(line.startswith(f"[profiles.pilot.{role}] ") for line in found)

    @pytest.mark.parametrize(
        ("keys", "reason"),
        [
            (f'{SUFFIX}\ntarget_property = "mailNickname"', "never holds @"),
            ('source_property = "number"', "never equals a userPrincipalName, which holds a domain"),
            ('source_property = "number"\ntarget_property = "mail"', "never equals a mail, which holds a domain"),
            (f'{SUFFIX}\nsource_property = "secondary_email"', "holds its domain already"),
            ('source_property = "secondary_email"\ntarget_property = "mailNickname"', "never equals a mailNickname"),
        ],
    )
    def test_the_reason_is_given(self, write: Write, faults: Faults, keys: str, reason: str) -> None:
        (found,) = faults(write({SUFFIX: keys}))
        assert reason in found

    def test_a_misspelt_choice_draws_no_false_conclusion(self, write: Write, faults: Faults) -> None:
        (found,) = faults(write({SUFFIX: 'source_property = "number"\ntarget_property = "mailnickname"'}))
        assert "target_property: 'mailnickname' is not one of the choices" in found


class TestCreation:
    @pytest.mark.parametrize("users", ["create", "match_or_create"])
    def test_needs_a_domain_for_each_role(self, write: Write, faults: Faults, users: str) -> None:
        found = faults(write({'users = "match"': f'users = "{users}"'}))
        assert [line.partition(":")[0] for line in found] == [
            "[profiles.pilot.students] domain",
            "[profiles.pilot.teachers] domain",
        ]

    def test_licences_need_a_country(self, write: Write, faults: Faults) -> None:
        students = (
            f'{SUFFIX}\ndomain = "contoso.edu"\nlicenses = ["A1"]\n[profiles.pilot.teachers]\ndomain = "contoso.edu"'
        )
        path = write({'users = "match"': 'users = "create"', SUFFIX: students})
        (found,) = faults(path)
        assert found.startswith("[profiles.pilot.students] usage_location: is missing")
        path = write(
            {'users = "match"': 'users = "create"', SUFFIX: students.replace("lic", 'usage_location="US"\nlic')}
        )
        assert faults(path) == []

    def test_licences_with_match(self, write: Write, faults: Faults) -> None:
        (found,) = faults(write({SUFFIX: f'{SUFFIX}\nlicenses = ["A1"]'}))
        assert 'users = "match" makes none' in found

    def test_a_licence_group_goes_beside_no_licences(self, write: Write, faults: Faults) -> None:
        """Nor without a country, nor where no accounts are made; which of the two is left out is the operator's say."""
        given = f'{SUFFIX}\ndomain = "contoso.edu"\nlicense_group = "{GROUP}"\n'
        teachers = '[profiles.pilot.teachers]\ndomain = "contoso.edu"'
        makes = {'users = "match"': 'users = "create"'}
        country = 'usage_location = "US"\n'
        assert faults(write({**makes, SUFFIX: f"{given}{country}{teachers}"})) == []
        (found,) = faults(write({**makes, SUFFIX: f'{given}{country}licenses = ["A1"]\n{teachers}'}))
        assert found.startswith("[profiles.pilot.students] license_group: stands beside licenses")
        assert found.endswith("keep one of the two")
        (found,) = faults(write({**makes, SUFFIX: f"{given}{teachers}"}))
        assert found.startswith("[profiles.pilot.students] usage_location: is missing")
        (found,) = faults(write({SUFFIX: f"{given}{country}{teachers}"}))
        assert found.startswith("[profiles.pilot.students] license_group: licences are for accounts")

    @pytest.mark.parametrize("text", ["pupils", "", GROUP[:-1], f"{GROUP}0", f" {GROUP}"])
    def test_a_licence_group_is_named_by_its_id(self, write: Write, faults: Faults, text: str) -> None:
        (found,) = faults(write({SUFFIX: f'{SUFFIX}\nlicense_group = "{text}"'}))
        assert "license_group" in found and "Object ID" in found

    def test_unknown_users_draws_no_conclusion(self, write: Write, faults: Faults) -> None:
        path = write({'users = "match"': 'users = "matching"', SUFFIX: f'{SUFFIX}\nlicenses = ["A1"]'})
        assert len(faults(path)) == 1

    @pytest.mark.parametrize("code", ["us", "USA", "U1", ""])
    def test_country_codes(self, write: Write, faults: Faults, code: str) -> None:
        (found,) = faults(write({SUFFIX: f'{SUFFIX}\nusage_location = "{code}"'}))
        assert "usage_location" in found


class TestReferences:
    def test_dangling_ones(self, write: Write, faults: Faults) -> None:
        found = faults(write(more=profile(source='"distrct"', tenant='"fabrikam"')))
        assert "[profiles.second] source: there is no [sources.distrct] — did you mean district?" in found
        assert "[profiles.second] tenant: there is no [tenants.fabrikam] — known here: contoso" in found


class TestSchools:
    @pytest.mark.parametrize(
        ("schools", "shared"),
        [
            ('"all"', True),
            ('["maple street elementary "]', True),
            ('["100"]', True),
            ("[100]", True),
            ('["Oak"]', False),
        ],
    )
    def test_sharing(self, write: Write, faults: Faults, schools: str, shared: bool) -> None:
        found = faults(write(more=profile(schools=schools)))
        assert [line.partition(":")[0] for line in found] == (["[profiles.second] schools"] if shared else [])
        assert all("[profiles.pilot]" in line for line in found)

    def test_another_tenant_may_have_the_same_schools(self, write: Write, faults: Faults) -> None:
        more = tenant("other", OTHER_TENANT) + profile(tenant='"other"', schools='"all"')
        assert faults(write(more=more)) == []

    def test_two_names_for_one_server_and_tenant_do_not_hide_it(self, write: Write, faults: Faults) -> None:
        more = (
            tenant("same", "5D0C4FC4-8F1C-4B4E-9A75-2F7CF3A6C9B1")
            + source("alias", "https://PowerSchool.contoso.edu:443/")
            + profile(source='"alias"', tenant='"same"', schools='"all"')
        )
        (found,) = faults(write(more=more))
        assert found.startswith("[profiles.second] schools: shares schools")


class TestAliases:
    def test_must_differ_between_sources_of_a_tenant(self, write: Write, faults: Faults) -> None:
        more = source("north", "https://north.contoso.edu") + profile(source='"north"')
        (found,) = faults(write(more=more))
        assert found.startswith("[profiles.second] class_alias: is that of [profiles.pilot]")
        more = source("north", "https://north.contoso.edu") + profile(
            source='"north"', class_alias='"SECTION_{sis_id}"'
        )
        assert len(faults(write(more=more))) == 1
        more = source("north", "https://north.contoso.edu") + profile(source='"north"', class_alias='"North_{sis_id}"')
        assert faults(write(more=more)) == []

    def test_may_be_the_same_for_one_source(self, write: Write, faults: Faults) -> None:
        assert faults(write(more=profile())) == []

    @pytest.mark.parametrize(
        ("alias", "reason"),
        [
            ("Section", "does not hold {sis_id}"),
            ("Section {sis_id}", "may not: space"),
            ("Klasse_ä_{sis_id}", "may not: ä"),
            ("a@b_{sis_id}", "may not: @"),
            ("{sis_id}_{teacher_last_name}", "{teacher_last_name} is not a placeholder"),
            ("{sisid}", "did you mean sis_id?"),
            ("{sis_id!r}", "{sis_id!r} is not a placeholder"),
            ("{sis_id.__class__}", "is not a placeholder"),
            ("{{sis_id}}", "brace without its partner"),
            ("{sis_id}_{", "brace without its partner"),
            ("", "must not be empty"),
        ],
    )
    def test_refused(self, write: Write, faults: Faults, alias: str, reason: str) -> None:
        found = faults(write({'users = "match"': f'users = "match"\nclass_alias = "{alias}"'}))
        assert found
        assert all(line.startswith("[profiles.pilot] class_alias: ") for line in found)
        assert any(reason in line for line in found)

    def test_every_placeholder_of_the_names(self, write: Write, faults: Faults) -> None:
        from sds_daemon.sync.naming import PLACEHOLDERS

        template = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        assert faults(write({'users = "match"': f'users = "match"\nclass_name = "{template}"'})) == []

    def test_unknown_placeholder_of_the_name(self, write: Write, faults: Faults) -> None:
        (found,) = faults(write({'users = "match"': 'users = "match"\nclass_name = "{course}"'}))
        assert found == "[profiles.pilot] class_name: {course} is not a placeholder — did you mean course_name?"


class TestAddresses:
    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("http://powerschool.contoso.edu", "is plain http"),
            ("http://127.0.0.1.example.org", "is plain http"),
            ("http://192.0.2.1", "is plain http"),
            ("powerschool.contoso.edu", "is not a web address"),
            ("ftp://powerschool.contoso.edu", "is not a web address"),
            ("https://", "is not a web address"),
            ("https://host:port", "is not a web address"),
            ("https://ho st", "is not a web address"),
            ("https://me:secret@host", "holds a user name or password"),
            ("https://host?x=1", "holds a query"),
            ("https://host/#x", "holds a query"),
            ("https://host/admin/home.html", "is a page of the server"),
            ("https://host/ws/v1", "is a page of the server"),
        ],
    )
    def test_source_refused(self, write: Write, faults: Faults, url: str, reason: str) -> None:
        (found,) = faults(write({"https://powerschool.contoso.edu": url}))
        assert found.startswith("[sources.district] url: ")
        assert reason in found

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:8080",
            "http://localhost:1",
            "http://[::1]:80",
            "https://[2001:db8::1]/",
            "https://host:8443/",
        ],
    )
    def test_source_taken(self, write: Write, faults: Faults, url: str) -> None:
        assert faults(write({"https://powerschool.contoso.edu": url})) == []

    @pytest.mark.parametrize("key", ["authority", "graph_url"])
    @pytest.mark.parametrize("cloud", ["global", "gcc-high", "dod", "china"])
    def test_own_addresses_are_for_the_custom_cloud(self, write: Write, faults: Faults, cloud: str, key: str) -> None:
        more = tenant("t", OTHER_TENANT, f'client_secret = "env:X"\ncloud = "{cloud}"\n{key} = "https://a.example"')
        (found,) = faults(write(more=more))
        assert found.startswith(f'[tenants.t] {key}: is for cloud = "custom" alone')

    def test_custom_needs_both(self, write: Write, faults: Faults) -> None:
        found = faults(write(more=tenant("t", OTHER_TENANT, 'client_secret = "env:X"\ncloud = "custom"')))
        assert [line.partition(":")[0] for line in found] == ["[tenants.t] authority", "[tenants.t] graph_url"]

    @pytest.mark.parametrize(
        ("graph", "reason"),
        [
            ("https://graph.example.org/v1.0", "has a path or version (/v1.0)"),
            ("https://graph.example.org/beta/", "has a path or version"),
            ("http://graph.example.org", "is plain http"),
            ("graph", "is not a web address"),
        ],
    )
    def test_custom_refused(self, write: Write, faults: Faults, graph: str, reason: str) -> None:
        extra = f'client_secret = "env:X"\ncloud = "custom"\nauthority = "https://l.example"\ngraph_url = "{graph}"'
        (found,) = faults(write(more=tenant("t", OTHER_TENANT, extra)))
        assert found.startswith("[tenants.t] graph_url: ")
        assert reason in found

    def test_custom_on_loopback(self, write: Write, faults: Faults) -> None:
        extra = 'client_secret = "env:X"\ncloud = "custom"\nauthority = "http://127.0.0.1:1"\ngraph_url = "https://[::1]:2/"'
        assert faults(write(more=tenant("t", OTHER_TENANT, extra))) == []


class TestCredentials:
    def test_both(self, write: Write, faults: Faults, tmp_path: Path) -> None:
        (tmp_path / "a.pem").touch()
        (found,) = faults(write(more=tenant("t", OTHER_TENANT, 'client_secret = "env:X"\ncertificate = "a.pem"')))
        assert found == "[tenants.t] certificate: stands beside client_secret — keep one of the two"

    def test_neither(self, write: Write, faults: Faults) -> None:
        (found,) = faults(write(more=tenant("t", OTHER_TENANT, "")))
        assert "neither client_secret nor certificate" in found

    def test_a_faulty_one_counts_as_given(self, write: Write, faults: Faults) -> None:
        (found,) = faults(write(more=tenant("t", OTHER_TENANT, "client_secret = 5")))
        assert "client_secret: must be text" in found


@pytest.mark.parametrize(
    ("table", "unknown", "near"),
    [
        ("students", "grades", "grade"),
        ("teachers", "teacher_numbr", "teacher_number"),
        ("sections", "course_nmae", "course_name"),
        ("school_records", "low_grad", "low_grade"),
    ],
)
def test_attributes_known_per_kind(write: Write, faults: Faults, table: str, unknown: str, near: str) -> None:
    keys = f'attributes = ["{unknown}", "{near}"]\n'
    path = (
        write({SUFFIX: f"{SUFFIX}\n{keys}"})
        if table == "students"
        else write(more=f"\n[profiles.pilot.{table}]\n{keys}")
    )
    (found,) = faults(path)
    assert found.startswith(f"[profiles.pilot.{table}] attributes: '{unknown}' is not")
    assert found.endswith(f"did you mean {near}?")
