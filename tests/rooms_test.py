"""Checks who may include whom: server and client never see each other, and every third-party header stays in its room."""

import fnmatch
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = sorted(p for room in ("common", "server", "client") for p in (ROOT / room).rglob("*.[ch]pp"))
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)

# A room, and the include prefixes of our own that it must not use.
FORBIDDEN_ROOMS = {
    "common": ("tensord/", "tensorclient/"),
    "server": ("tensorclient/",),
    "client": ("tensord/",),
}
# A third-party include, and the files that may name it.
THIRD_PARTY = {
    "boost/asio*": ("server/src/*", "server/examples/*", "client/*"),
    "rapidjson/*": ("common/src/*",),
    "png.h": ("common/src/png*",),
    "zlib.h": ("common/src/png*",),
    "turbojpeg.h": ("common/src/jpeg*",),
    "jpeglib.h": ("common/src/jpeg*",),
    "spdlog/*": ("server/src/*", "server/handlers/*", "client/tensorctl/*"),
    "CLI/*": ("server/src/*", "client/tensorctl/*"),
}
# What belongs to no public header. The client's asynchronous calls take any Asio completion token, so Asio is part of its interface.
PUBLIC_EXCEPTIONS = ("client/include/tensorclient/async*.hpp:boost/asio*",)
# common/ knows no socket, no thread and no logger.
NOT_IN_COMMON = ("sys/socket.h", "netinet/*", "arpa/*", "thread", "future", "condition_variable", "boost/asio*", "spdlog/*", "iostream")


def relative(path):
    return path.relative_to(ROOT).as_posix()


def includes(path):
    return INCLUDE.findall(path.read_text(encoding="utf-8"))


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def violations(judge):
    """Every 'file includes header' for which judge(file, header) is true."""
    return [f"{relative(p)} includes {h}" for p in SOURCES for h in includes(p) if judge(relative(p), h)]


def is_third_party(header):
    return matches(header, THIRD_PARTY) or header.startswith("boost/")


def test_there_is_something_to_judge():
    assert len(SOURCES) > 20
    assert any(matches(h, ("rapidjson/*",)) for p in SOURCES for h in includes(p))


def test_server_and_client_never_include_each_other():
    assert not violations(lambda file, header: header.startswith(FORBIDDEN_ROOMS[file.split("/")[0]]))


def test_no_file_reaches_into_another_room_by_a_path():
    assert not violations(lambda file, header: ".." in header.split("/") or header.split("/")[0] in FORBIDDEN_ROOMS)


def test_third_party_headers_stay_in_their_rooms():
    def judge(file, header):
        return any(matches(header, (pattern,)) and not matches(file, rooms) for pattern, rooms in THIRD_PARTY.items())

    assert not violations(judge)


def test_public_headers_leak_no_third_party():
    def judge(file, header):
        return "/include/" in file and is_third_party(header) and not any(
            matches(file, (e.split(":")[0],)) and matches(header, (e.split(":")[1],)) for e in PUBLIC_EXCEPTIONS)

    assert not violations(judge)


def test_common_knows_no_socket_thread_or_logger():
    assert not violations(lambda file, header: file.startswith("common/") and matches(header, NOT_IN_COMMON))
