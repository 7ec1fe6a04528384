"""Keys and secrets of accounts: where they may stand, and that no error and no settings object shows them."""

from itertools import product
from pathlib import Path

import pytest

from flows.command.settings_file import shown
from flows.model.secret import Secret
from flows.settings import Feed, Settings, SettingsError, load_settings
from flows.settings.account import withheld
from sinks.hub.rights import rights_of

SECRET = "hunter2hunter2"
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v\n-----END PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def feed_of(settings: Settings, venue: str = "binance") -> Feed:
    return settings.by_venue[venue]


def test_the_environment_has_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_FEED__API_KEY", "k3y")
    monkeypatch.setenv("MARKETFLOW_FEED__API_SECRET", SECRET)
    feed = feed_of(load_settings())
    assert feed.has_account
    assert feed.account == "default"
    assert feed.api_secret == Secret(SECRET)


def test_without_a_secret_there_is_no_account() -> None:
    assert not feed_of(load_settings(feed={"api_key": "k3y"})).has_account


def test_the_file_of_settings_names_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", SECRET)
    (tmp_path / "marketflow.toml").write_text('[feed]\napi_key = "k3y"\napi_secret = "${MY_SECRET}"\n')
    assert feed_of(load_settings()).api_secret == Secret(SECRET)


@pytest.mark.parametrize("written", [SECRET, "a${MY_SECRET}", "$${MY_SECRET}", "${MY_SECRET}b"])
@pytest.mark.parametrize("section", ["feed", "venues.binance"])
def test_a_secret_in_the_file_of_settings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, written: str
) -> None:
    monkeypatch.setenv("MY_SECRET", SECRET)
    (tmp_path / "marketflow.toml").write_text(f'[{section}]\napi_key = "k3y"\napi_secret = "{written}"\n')
    with pytest.raises(SettingsError, match=r"does not belong into this file: write .*api_secret_file") as raised:
        load_settings()
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("text", [PEM, f"{PEM}\n\n", SECRET])
def test_a_file_of_its_own_holds_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.pem").write_text(text)
    feed = feed_of(load_settings(feed={"api_key": "k3y", "api_secret_file": "key.pem"}))
    assert feed.api_secret == Secret(text.strip())


def test_a_private_key_in_one_line_has_its_lines() -> None:
    feed = feed_of(load_settings(feed={"api_key": "k3y", "api_secret": PEM.replace("\n", "\\n")}))
    assert feed.api_secret == Secret(PEM)


@pytest.mark.parametrize(
    ("feed", "text"),
    [
        ({"api_secret": SECRET}, "feed.api_secret: there is no key that it belongs to"),
        ({"api_key": "k3y", "api_secret": ""}, "feed.api_secret: write 1 to 8192 letters"),
        ({"api_key": "k3y", "api_secret": SECRET + "\x1b"}, "feed.api_secret: write 1 to"),
        ({"api_key": "k3y", "api_secret": SECRET, "api_secret_file": "x"}, "api_secret_file: api_secret is set too"),
        ({"api_key": "k3y", "api_secret_file": "none"}, "api_secret_file: this file cannot be read: No such file"),
        ({"api_key": "k3y", "api_secret_file": "empty"}, "api_secret_file: this file is empty"),
        ({"api_key": "hunter2hunter2 x"}, "feed.api_key: write 1 to"),
        ({"account": "my account"}, "feed.account: write 1 to 40 letters"),
    ],
)
def test_what_is_wrong_is_named_without_the_secret(tmp_path: Path, feed: dict[str, str], text: str) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(SettingsError) as raised:
        load_settings(feed=feed)
    assert text in str(raised.value)
    assert SECRET not in str(raised.value)


def test_each_venue_has_its_own_account() -> None:
    settings = load_settings(
        feed={"venue": "binance", "api_key": "k3y", "api_secret": SECRET, "account": "mine"},
        venues={"binance": {}, "binance-usdm": {}, "kraken": {"api_key": "other", "api_secret": "0ther"}},
    )
    found = {name: (feed.account, feed.api_secret) for name, feed in settings.by_venue.items()}
    assert found == {
        "binance": ("mine", Secret(SECRET)),
        "binance-usdm": ("default", None),
        "kraken": ("default", Secret("0ther")),
    }


@pytest.mark.parametrize("has_account", [True, False])
def test_servers_that_give_accounts_to_no_client_are_named(*, has_account: bool) -> None:
    """By the rule of rights, whatever tokens there are."""
    own = {"api_key": "k3y", "api_secret": SECRET} if has_account else {}
    for hub_token, hub_own, api_token, api_own in product((None, "one"), (None, "two"), (None, "three"), (None, "4")):
        hub = {"token": hub_token, "account_token": hub_own}
        settings = load_settings(feed=own, hub=hub, api={"token": api_token, "account_token": api_own})
        shown = [[], *([one] for one in (hub_token, hub_own, api_token, api_own) if one)]
        of_hub = any("account" in rights_of(settings.hub, one) for one in shown)
        of_api = any("account" in rights_of(settings.api, one, followed=settings.hub) for one in shown)
        named = {name for name, is_open in (("hub", of_hub), ("api", of_api)) if not is_open and has_account}
        assert withheld(settings).keys() == named
        for text in withheld(settings).values():
            assert "account_token is not" in text
            assert SECRET not in text


def test_no_form_of_the_settings_shows_it() -> None:
    settings = load_settings(feed={"api_key": "k3yk3yk3y", "api_secret": SECRET})
    feed = settings.feed
    forms = [repr(settings), str(feed), str(feed.model_dump()), str(shown("", feed.model_dump())), repr(vars(feed))]
    for text in forms:
        assert SECRET not in text
        assert "k3yk3yk3y" not in text
