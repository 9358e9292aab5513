"""Prompts of bench/peers.py for the real small model, made up here. Each has a name. Nothing in the program was set by
them: what speculation costs and gains was tuned on others."""

ARTICLE = (
    "The harbour of Velmar lies behind two long walls of grey stone. Ships from the north bring timber and salted fish, and ships "
    "from the south bring oranges, paper and glass. In the morning the market opens at six, and the first boats are unloaded before "
    "the sun is over the hills. A wooden bridge with nine arches joins the market to the old town, where the streets are so narrow "
    "that two carts cannot pass. The tower at the end of the bridge has a clock that runs four minutes late, and nobody has ever "
    "put it right, because the fishermen set their watches by it.")
CODE = '''def read_table(path):
    """Rows of a file of comma-separated values, as dictionaries by the names in its first line."""
    rows = []
    with open(path, encoding="utf-8") as file:
        names = file.readline().rstrip("\\n").split(",")
        for line in file:
            values = line.rstrip("\\n").split(",")
            if len(values) != len(names):
                raise ValueError(f"{path}: a line of {len(values)} values, expected {len(names)}")
            rows.append(dict(zip(names, values)))
    return rows
'''
LIST = "\n".join(f"{i}. {item}" for i, item in enumerate(
    ["apples from the orchard", "a bag of flour", "two litres of milk", "salt and black pepper", "a box of matches", "soap",
     "blue thread", "nails of five centimetres", "a tin of white paint", "candles", "lamp oil", "a new broom"], 1))

COPYING = [
    ("repeat an article", f"Repeat the following text word for word.\n\n{ARTICLE}"),
    ("repeat code", f"Write out this program again without any change.\n\n{CODE}"),
    ("repeat a list", f"Copy this list exactly, line by line.\n\n{LIST}"),
    ("repeat twice", f"Say this again, twice, word for word: {ARTICLE[:300]}"),
]

NAMED = [
    ("bridge", "Explain in a few sentences how a suspension bridge carries its load."),
    ("bread", "How do I bake a simple loaf of bread?"),
    ("moon", "Why does the moon have phases?"),
    ("poem", "Write a short poem about rain on a tin roof."),
    ("sort", "Write a Python function that sorts a list of words by their length."),
    ("history", "What was the printing press and why did it matter?"),
    ("letter", "Write a polite letter asking a neighbour to lower the music."),
    ("sum", "What is 17 times 23? Show the steps."),
    ("story", "Tell a story about a lighthouse keeper who finds a map."),
    ("list", "Give ten names for a small bookshop."),
    ("translate", "Translate into French: The train leaves at noon."),
    ("plants", "How do plants make food from sunlight?"),
    ("chess", "Explain how the knight moves in chess."),
    ("health", "Give five tips for sleeping better."),
    ("capital", "What is the capital of Australia, and what is it known for?"),
    ("json", "Write a JSON object that describes a person with a name, an age and three hobbies."),
    ("summary", f"Summarise this in one sentence: {ARTICLE}"),
    ("dialogue", "Write a dialogue between a baker and a child who wants a cake."),
    ("compare", "What is the difference between weather and climate?"),
    ("review", f"Find a mistake in this program, or say that there is none.\n\n{CODE}"),
]

PLAIN = [
    ("bread", "The process of making bread begins with"),
    ("science", "Machine learning is a branch of computer science in which"),
    ("code", "def add(a, b):\n    return"),
    ("river", "The river rises in the mountains and flows"),
]
