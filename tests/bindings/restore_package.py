"""restore_package.py PACKAGE BIN: does for an unpacked AutoRound.nupkg what NuGet and MSBuild do for a .NET Framework program: the assembly of
lib/net472 and the files that build/AutoRound.targets names go beside the program. Everything in the package must have a content type."""
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

package, output = Path(sys.argv[1]), Path(sys.argv[2])
types = ElementTree.parse(package / "[Content_Types].xml").getroot()
extensions = {default.get("Extension") for default in types}
for file in package.rglob("*"):
    if file.is_file() and file.name != "[Content_Types].xml" and file.name.rpartition(".")[2] not in extensions:
        sys.exit(f"{file.relative_to(package)} has no content type")

relations = ElementTree.parse(package / "_rels/.rels").getroot()
nuspec = [relation.get("Target") for relation in relations if relation.get("Type").endswith("/manifest")]
if not (package / nuspec[0].lstrip("/")).is_file():
    sys.exit(f"there is no {nuspec[0]}")

shutil.copy(package / "lib/net472/AutoRound.dll", output)
namespace = {"m": "http://schemas.microsoft.com/developer/msbuild/2003"}
targets = ElementTree.parse(package / "build/AutoRound.targets").getroot()
copied = 0
for item in targets.findall("m:ItemGroup/m:None", namespace):
    pattern = item.get("Include").replace("$(MSBuildThisFileDirectory)", "")
    folder = (package / "build" / pattern).parent
    for file in folder.glob(Path(pattern).name):
        shutil.copy(file, output)
        copied += 1
if copied < 3:
    sys.exit(f"AutoRound.targets copies {copied} files; two libraries and the map of names are expected")
