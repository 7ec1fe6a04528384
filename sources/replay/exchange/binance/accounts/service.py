"""The accounts of an exchange: who may read what."""

from sources.replay.accounts.keys import ApiKey, demo_ring
from sources.replay.exchange.accounts import OperatedExchange
from sources.replay.exchange.binance.accounts.endpoint import Access, MarketAccounts
from sources.replay.exchange.binance.accounts.signing import Sent, caller, known_key, signed_by, without_signing
from sources.replay.exchange.binance.parameters import ApiError, Parameters
from sources.replay.exchange.binance.rest import Answer
from sources.replay.exchange.dialect import AccountsView


class BinanceAccounts:
    """Keys and accounts of one exchange."""

    def __init__(self, view: AccountsView, accounts: MarketAccounts, *, refuses_others: bool) -> None:
        """`refuses_others`: whether requests below `/api/` with parameters that are not taken are refused."""
        self._view = view
        self._accounts = accounts
        self._refuses_others = refuses_others
        self._ring = demo_ring()
        self._paths = {path for _, path in (*accounts.endpoints, *accounts.of_keys)}
        self.operated = OperatedExchange(accounts, self._ring)
        """What operators do with them."""

    def knows(self, path: str) -> bool:
        """Whether requests for a path are about accounts."""
        return path in self._paths

    def answer(self, method: str, path: str, sent: Sent) -> Answer:
        """The answer to a request for a path that it knows; `ApiError` for one that is refused."""
        place = ("GET" if method == "HEAD" else method, path)
        of_key, endpoint = self._accounts.of_keys.get(place), self._accounts.endpoints.get(place)
        if of_key is not None:
            return of_key(signed_by(sent, self._ring, self._view.now_ms))
        if endpoint is None:
            raise ApiError(-1000, f"Request method '{method}' not supported", status=405)
        account = self._account_of(sent, endpoint.access)
        return self.answer_to(account, method, path, Parameters(without_signing(sent.pairs())))

    def answer_to(self, account: str, method: str, path: str, parameters: Parameters) -> Answer:
        """The answer to an account, whose request was checked."""
        endpoint = self._accounts.endpoints["GET" if method == "HEAD" else method, path]
        parameters.check(endpoint.takes, refuses_others=self._refuses_others and path.startswith("/api/"))
        return endpoint.answer(account, parameters)

    def key(self, name: str) -> ApiKey:
        """The key of a name; -2015 where there is none."""
        return known_key(name, self._ring)

    def _account_of(self, sent: Sent, access: Access) -> str:
        match access:
            case Access.FREE:
                return ""
            case Access.KEY:
                return caller(sent, self._ring).account
            case Access.SIGNED:
                return signed_by(sent, self._ring, self._view.now_ms).account
