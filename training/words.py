"""The words, names and facts that the demo model's conversations are made of."""


def _pairs(table: str) -> list[tuple[str, str]]:
    """A table written as ``left right, left right``."""
    return [(left, right) for left, right in (row.split() for row in table.split(","))]


WORDS = """
river apple stone chair table window garden flower mountain ocean paper pencil bottle candle ladder mirror basket
blanket bridge castle forest island jungle kitchen lemon market needle oyster pepper quilt rabbit saddle ticket
umbrella valley wagon yellow zebra anchor button carpet dragon engine feather guitar hammer insect jacket kettle
lizard magnet napkin onion pirate queen rocket silver tiger uncle violin walnut acorn bread cloud dance eagle field
grape honey ink jewel knife light mouse night olive piano quiet radio sugar train uniform voice water box yard zoo ant
bear cat dog elk fox goat hen ice jar key lion moon nut owl pig quail rain sun tree urn vase wolf yak zinc arm bell
cake desk ear fan gate hat iron jet kite lamp milk net oak pen ring shoe toe van wall axe bird coin door egg fish glue
hill idea joke king leaf map nose orange banana cherry purple green hello python diffusion canvas router worker token
planet summer winter doctor teacher school pocket monkey turtle spider cotton marble copper velvet shadow thunder
whisper harbor lantern meadow pebble ribbon saturn temple bubble cactus dolphin falcon glacier horizon igloo jasmine
koala lobster mango nectar otter parrot quartz raven salmon tulip vulture willow xylem yogurt zipper
""".split()

NAMES = """
Ada Alan Alice Amir Anna Ben Bella Boris Carla Carlos Chloe Clara Daniel Diana Diego Elena Ella Emil Emma Eric Eva
Felix Fiona Frank Grace Greta Hanna Hugo Ines Ivan Jack Jane Jonas Julia Karl Kate Kenji Lara Laura Leo Lena Liam Lily
Linus Lucas Lucy Maja Marco Maria Mark Max Mia Mona Nadia Nils Nina Noah Nora Oliver Olga Omar Oscar Otto Paul Petra
Rosa Rita Sam Sara Simon Sofia Sven Tara Theo Tina Tom Uma Vera Victor Viola Walter Wanda Yara Yuki Zoe Grete Ravi
Priya Mei Hiro
""".split()

OPPOSITES = _pairs("""
hot cold, big small, up down, left right, open closed, fast slow, happy sad, light dark, high low, old new, rich poor,
hard soft, full empty, long short, wet dry, early late, strong weak, thick thin, loud quiet, clean dirty, true false,
near far, first last, good bad, day night, north south, east west, win lose, buy sell, push pull, start stop,
heavy weightless, sweet sour, wide narrow
""")

CAPITALS = _pairs("""
France Paris, Germany Berlin, Italy Rome, Spain Madrid, Portugal Lisbon, Austria Vienna, Poland Warsaw, Greece Athens,
Norway Oslo, Sweden Stockholm, Finland Helsinki, Denmark Copenhagen, Ireland Dublin, Hungary Budapest, Japan Tokyo,
China Beijing, India Delhi, Egypt Cairo, Kenya Nairobi, Cuba Havana, Peru Lima, Chile Santiago, Canada Ottawa,
Russia Moscow, Turkey Ankara, Iran Tehran, Iraq Baghdad, Thailand Bangkok, Vietnam Hanoi, England London
""")

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

MONTHS = """
January February March April May June July August September October November December
""".split()

NUMBERS = "zero one two three".split()
