"""The library imports one way: no module imports a higher layer, and no imports form a circle."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.shared import REPO

# Folders of depth/ from the bottom to the top; modules beside them and depth.ops are the ground.
LAYERS = [
    {'models', 'datasets', 'evaluation', 'visualization'},
    {'data_tools', 'engine'},
    {'apis'},
    {'cli'},
]
OUTSIDE = ('benchmarks', 'projects', 'tests', 'tools')


def module_name(path):
    """Return the dotted name of a file below the repository."""
    parts = path.relative_to(REPO).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


PATHS = {module_name(path): path for path in sorted((REPO / 'depth').rglob('*.py'))}


def imported_modules(node, name):
    """Return the modules of depth/, and names outside, that an import statement reads."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ''
    if node.level:
        package = name if PATHS[name].name == '__init__.py' else name.rpartition('.')[0]
        parents = package.split('.')[: len(package.split('.')) - node.level + 1]
        base = '.'.join([*parents, base]).rstrip('.')
    modules = []
    for alias in node.names:
        # ``from package import module`` reads the module, ``from module import name`` the name.
        inner = f'{base}.{alias.name}'
        modules.append(inner if inner in PATHS else base)
    return modules


def imports_of(name, nodes):
    """Return what the import statements among some nodes of a module read."""
    modules = set()
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules.update(imported_modules(node, name))
    return modules


def layer(module):
    """Return the number of a module's layer; the ground is 0."""
    parts = module.split('.')
    for number, folders in enumerate(LAYERS, start=1):
        if len(parts) > 1 and parts[1] in folders:
            return number
    return 0


def test_modules_import_no_higher_layer_and_nothing_outside():
    violations = []
    for name, path in PATHS.items():
        # The package itself offers functions of depth.apis, imported when they are called.
        if name == 'depth':
            continue
        for module in imports_of(name, ast.walk(ast.parse(path.read_text()))):
            root = module.split('.')[0]
            if root in OUTSIDE or (root == 'depth' and layer(module) > layer(name)):
                violations.append(f'{name} imports {module}')
    assert not violations


def test_imports_at_the_top_of_modules_form_no_circle():
    graph = {}
    for name, path in PATHS.items():
        graph[name] = set()
        for module in imports_of(name, ast.parse(path.read_text()).body):
            # Importing a module runs the packages around it first; those around the reader too run
            # already.
            parts = module.split('.')
            for end in range(1, len(parts) + 1):
                package = '.'.join(parts[:end])
                if package in PATHS and not f'{name}.'.startswith(f'{package}.'):
                    graph[name].add(package)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f'circle of imports: {" -> ".join(error.args[1])}')
