"""The citation graphs Cora, CiteSeer and PubMed with their public split, read from the raw Planetoid files by PyG.

The raw files are pickles, so each is compared with the published one before it is opened. They are read where they lie: nothing is
written beside them. `Planetoid` itself would put a `processed` folder there, and would download without a time limit.
"""

import hashlib
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from degreequant.data.download import fetch, keep
from degreequant.data.folders import DATA_VARIABLE, first_folder, roots
from degreequant.data.pyg import pyg
from degreequant.errors import DatasetError

if TYPE_CHECKING:
    from torch_geometric.data import Data

Name = Literal["Cora", "CiteSeer", "PubMed"]

SHA256 = {
    "Cora": {
        "ind.cora.x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
        "ind.cora.tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
        "ind.cora.allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
        "ind.cora.y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
        "ind.cora.ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
        "ind.cora.ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
        "ind.cora.graph": "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
        "ind.cora.test.index": "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
    },
    "CiteSeer": {
        "ind.citeseer.x": "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6",
        "ind.citeseer.tx": "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21",
        "ind.citeseer.allx": "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668",
        "ind.citeseer.y": "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924",
        "ind.citeseer.ty": "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce",
        "ind.citeseer.ally": "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95",
        "ind.citeseer.graph": "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7",
        "ind.citeseer.test.index": "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4",
    },
    "PubMed": {
        "ind.pubmed.x": "fbe9cb5c47200d1b7769a26e579be3b7130b556831f9d850e77c4c74f2599b33",
        "ind.pubmed.tx": "4eb5f5d0f30f26497eb0ac6ac9719d09c67e284f1ed0385c93f3ef27a671da3d",
        "ind.pubmed.allx": "508e538e2abdccdd54c4d3e9f49d638b4af7107d85845f66ddea5a5152658b7e",
        "ind.pubmed.y": "e6c807633307a07ed659249006536a147c7999c797f11a2560752990181b41b3",
        "ind.pubmed.ty": "ee2e0d4819d9fbcc403689c3bf2e49face401b605932f093bc58ab6461130fdd",
        "ind.pubmed.ally": "0c37bbe3b5014ec365e9d393cf4791925e5ed94fb194305d74f064a8d7b50f0e",
        "ind.pubmed.graph": "5b89f0036ca22909471f1e6558eb42fa06e0c730a577bde5b058b40638f81dc9",
        "ind.pubmed.test.index": "b101d421688bbaecbd82e8a18f1e282378d6830f3a37666f28ebc47f844341b5",
    },
}


def load(name: Name) -> "Data":
    """One citation graph as PyG's `Planetoid(split="public", transform=NormalizeFeatures())` gives it.

    `x` float32 [N, F] with rows that sum to 1, `edge_index` int64 [2, E] (symmetric, no self loops), `y` int64 [N], and bool masks [N]
    with 20 training nodes per class, 500 validation and 1,000 test nodes. Downloads the raw files into the cache when they are nowhere
    at hand.

    Raises:
        DatasetError: If the raw files are missing and cannot be downloaded, or if one of them is damaged.
        MissingExtraError: If PyTorch Geometric is not installed.
    """
    folder = first_folder(places(name))
    if folder is None:
        folder = _download(name)
    else:
        _verify(name, folder)
    geometric = pyg()
    data = geometric.io.read_planetoid_data(str(folder), name.lower())
    normalised: Data = geometric.transforms.NormalizeFeatures()(data)
    return normalised


def available(name: Name) -> bool:
    """Whether all raw files of `name` are at hand, so that `load` needs no network. Reads none of them."""
    folder = first_folder(places(name))
    return folder is not None and all((folder / file).is_file() for file in SHA256[name])


def places(name: Name) -> tuple[Path, ...]:
    """The folders in which the raw files of `name` are looked for, first to last; the last one is where a download goes."""
    return tuple(root / "Planetoid" / name / "raw" for root in roots())


def _verify(name: Name, folder: Path) -> None:
    for file, expected in SHA256[name].items():
        path = folder / file
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            raise DatasetError(f"{path} is missing; {name} needs all of its {len(SHA256[name])} raw files there") from None
        except OSError as error:
            raise DatasetError(f"{path} cannot be read ({error.strerror})") from error
        if found != expected:
            raise DatasetError(f"{path} is damaged: replace it with the published file (SHA-256 {expected[:12]}..., not {found[:12]}...)")


def _download(name: Name) -> Path:
    target = places(name)[-1]
    url = pyg().datasets.Planetoid.url

    def fill(folder: Path) -> None:
        for file in SHA256[name]:
            fetch(f"{url}/{file}", folder / file)
        _verify(name, folder)

    try:
        keep(target, fill)
    except (OSError, HTTPException, DatasetError) as error:
        looked = " or ".join(map(str, places(name)))
        raise DatasetError(
            f"{name} is not at hand: its raw files are not in {looked}, and could not be downloaded ({error}); "
            f"set {DATA_VARIABLE} to a folder that holds Planetoid/{name}/raw, or try again with a network"
        ) from error
    return target
