"""What the demo's documents say, and the people, places, firms, dates and sums in them.

Everything and everybody here is invented. Plain ASCII: Pillow's bundled font has little more.
Labels are those of OntoNotes.
"""

from dataclasses import dataclass
from typing import Literal

Entity = tuple[str, str]
"""(text, label)."""

Layout = Literal["letter", "invoice", "article", "report", "news", "form"]


@dataclass(frozen=True, slots=True)
class Story:
    """One document before it is set: a title, blocks of text as its layout wants them, entities.

    A block is a paragraph; in a form or an invoice "a | b | c" is a row of cells, and "# " starts
    a heading.
    """

    name: str
    layout: Layout
    title: str
    blocks: tuple[str, ...]
    entities: tuple[Entity, ...]


LETTER = Story(
    "letter",
    "letter",
    "Harrow & Finch Bookbinders",
    (
        "18 Mill Lane, Portland, Oregon",
        "March 12, 2024",
        "Dear Ms. Whitfield,",
        "Thank you for your letter of February 27, 2024 and for the three volumes that reached our "
        "workshop on Friday. Thomas Bergman, who has repaired the county records since 1998, has "
        "looked at every one of them. The paper is sound, but the sewing has failed and the "
        "leather of the largest book is past saving.",
        "We propose to wash and resew the first two volumes and to give the third a new spine in "
        "calf. The work would cost $1,850 for all three, including boxes. Should you want the "
        "original covers kept, please add $240. Half of the sum is due when we begin.",
        "Our colleague Helen Okafor will be in Seattle in April and could return the books to the "
        "Rainier Historical Society in person, which would spare you the insurance. If you prefer "
        "a courier, we have had good experience with Cascade Freight.",
        "We can start on May 6, 2024 and expect to need five weeks. Please let us know soon, "
        "since the summer months are usually the busiest of the year for us.",
        "Yours sincerely,",
        "Daniel Harrow",
    ),
    (
        ("Harrow & Finch Bookbinders", "ORG"),
        ("Portland", "GPE"),
        ("Oregon", "GPE"),
        ("March 12, 2024", "DATE"),
        ("Whitfield", "PERSON"),
        ("February 27, 2024", "DATE"),
        ("Friday", "DATE"),
        ("Thomas Bergman", "PERSON"),
        ("1998", "DATE"),
        ("1,850", "MONEY"),
        ("240", "MONEY"),
        ("Helen Okafor", "PERSON"),
        ("Seattle", "GPE"),
        ("April", "DATE"),
        ("the Rainier Historical Society", "ORG"),
        ("Cascade Freight", "ORG"),
        ("May 6, 2024", "DATE"),
        ("five weeks", "DATE"),
        ("the summer months", "DATE"),
        ("Daniel Harrow", "PERSON"),
    ),
)

INVOICE = Story(
    "invoice",
    "invoice",
    "INVOICE No. 2024-0173",
    (
        "From: | Bill to:",
        "Lumen Optics Inc. | Northwind Traders Ltd.",
        "88 Frederick Street | 12 Harbour Street",
        "Boston, Massachusetts | Bristol, England",
        "# Date of invoice: May 7, 2024",
        "# Payment due: June 6, 2024",
        "Item | Quantity | Unit price | Total",
        "Laser module LM-450 | 12 | 189.00 | 2,268.00",
        "Mounting kit MK-2 | 12 | 24.50 | 294.00",
        "Calibration service | 1 | 350.00 | 350.00",
        "Shipping and handling | 1 | 85.00 | 85.00",
        "Subtotal | | | 2,997.00",
        "Tax 8 percent | | | 239.76",
        "Total due | | | 3,236.76",
        "Please transfer $3,236.76 to our account at First Harbor Bank before June 6, 2024. With "
        "any question about this invoice please turn to Anna Schmidt in our Boston office. Goods "
        "remain the property of Lumen Optics Inc. until they are paid in full.",
    ),
    (
        ("Lumen Optics Inc.", "ORG"),
        ("Northwind Traders Ltd.", "ORG"),
        ("Boston", "GPE"),
        ("Massachusetts", "GPE"),
        ("Bristol", "GPE"),
        ("England", "GPE"),
        ("May 7, 2024", "DATE"),
        ("June 6, 2024", "DATE"),
        ("3,236.76", "MONEY"),
        ("First Harbor Bank", "ORG"),
        ("Anna Schmidt", "PERSON"),
    ),
)

ARTICLE = Story(
    "article",
    "article",
    "Glacier Survey Finds Faster Melting in the Alps",
    (
        "Scientists from the University of Innsbruck measured 1,400 glaciers across Switzerland, "
        "Austria and Italy between 2019 and 2023. Their report, published on Monday, concludes "
        "that the ice is thinning by more than a metre a year on average, twice the rate observed "
        "in the 1990s.",
        "Lead author Daniel Moser said that the summer of 2022 alone removed six percent of the "
        "remaining volume. Dust carried from the desert darkened the snow in March, and three "
        "heat waves followed in June, July and August. Small glaciers are likely to vanish before "
        "2040.",
        "The loss matters for power companies such as Alpstrom, which depend on melt water in "
        "late summer. Farmers in France face lower river levels in August. The authors recommend "
        "building small reservoirs and sharing water data between the four countries.",
        "Switzerland has promised $80 million for new stations. The European Union will add "
        "satellite images, said Laura Conti, who heads the programme in Milan. A second report on "
        "the mountains of Spain is planned for 2026.",
        "Not everybody is convinced that reservoirs are the answer. Peter Vogel, a hydrologist in "
        "Vienna, warned that new dams would harm fish, and that a single dry winter could leave "
        "them empty. He asked the governments to spend the money on pipes that do not leak.",
    ),
    (
        ("the University of Innsbruck", "ORG"),
        ("Switzerland", "GPE"),
        ("Austria", "GPE"),
        ("Italy", "GPE"),
        ("between 2019 and 2023", "DATE"),
        ("Monday", "DATE"),
        ("a year", "DATE"),
        ("the 1990s", "DATE"),
        ("Daniel Moser", "PERSON"),
        ("the summer of 2022", "DATE"),
        ("March", "DATE"),
        ("June", "DATE"),
        ("July", "DATE"),
        ("August", "DATE"),
        ("2040", "DATE"),
        ("Alpstrom", "ORG"),
        ("late summer", "DATE"),
        ("France", "GPE"),
        ("$80 million", "MONEY"),
        ("The European Union", "ORG"),
        ("Laura Conti", "PERSON"),
        ("Milan", "GPE"),
        ("Spain", "GPE"),
        ("2026", "DATE"),
        ("Peter Vogel", "PERSON"),
        ("Vienna", "GPE"),
        ("a single dry winter", "DATE"),
    ),
)

REPORT = Story(
    "report",
    "report",
    "Annual Report of the Harbor Library Trust",
    (
        "# Summary",
        "The Harbor Library Trust lent 412,000 books in 2023, more than in any year since 2011. "
        "Income rose to $6.4 million. The board, chaired by Margaret Lindqvist, thanks the city "
        "of Baltimore and everyone who gave time or money.",
        "# Buildings",
        "The reading room in Annapolis opened again in September after repairs that took two "
        "years. Kestrel Builders replaced the roof for $920,000, a little less than planned. Work "
        "on the branch in Richmond will begin in January 2025.",
        "# People",
        "Samuel Adeyemi joined the trust in May as head of collections. He came from the National "
        "Archive of Nigeria, where he had led the scanning of old newspapers. Ruth Goldman "
        "retired in December; she had been with us for thirty years.",
        "# Outlook",
        "We expect to spend $1.2 million on digital lending in 2024. A grant from the Wexford "
        "Foundation pays for half of it. Talks with the University of Virginia about a common "
        "catalogue have begun.",
    ),
    (
        ("the Harbor Library Trust", "ORG"),
        ("2023", "DATE"),
        ("2011", "DATE"),
        ("$6.4 million", "MONEY"),
        ("Margaret Lindqvist", "PERSON"),
        ("Baltimore", "GPE"),
        ("Annapolis", "GPE"),
        ("September", "DATE"),
        ("two years", "DATE"),
        ("Kestrel Builders", "ORG"),
        ("920,000", "MONEY"),
        ("Richmond", "GPE"),
        ("January 2025", "DATE"),
        ("Samuel Adeyemi", "PERSON"),
        ("May", "DATE"),
        ("the National Archive of Nigeria", "ORG"),
        ("Ruth Goldman", "PERSON"),
        ("December", "DATE"),
        ("thirty years", "DATE"),
        ("$1.2 million", "MONEY"),
        ("2024", "DATE"),
        ("the Wexford Foundation", "ORG"),
        ("the University of Virginia", "ORG"),
    ),
)

NEWS = Story(
    "news",
    "news",
    "Meridian Robotics Opens New Plant in Rotterdam",
    (
        "Meridian Robotics said on Thursday that it will invest $240 million in a new assembly "
        "plant near the port of Rotterdam, creating about 1,200 jobs over three years. Chief "
        "executive Maria Jansen told reporters that the company chose the Netherlands because of "
        "its rail links to Germany and Poland.",
        "The plant will build warehouse robots for customers such as Bluewater Retail and Orion "
        "Logistics. Production is expected to start in September 2025. Meridian, founded in "
        "Boston in 1998, already runs factories in Mexico and China, and reported revenue of $3.1 "
        "billion last year.",
        "Mayor Ahmed Benali welcomed the decision but asked the company to publish its energy "
        "plan. The site will draw 40 megawatts at full load, roughly the consumption of a town of "
        "60,000 people. Meridian said it had signed a contract with Noordwind for offshore wind "
        "power.",
        "Unions gave the announcement a cautious welcome. Peter de Vries said that his members "
        "wanted guarantees that the jobs would be permanent. Ms. Jansen replied that three "
        "quarters of the positions would be, and that she would put it in writing.",
    ),
    (
        ("Meridian Robotics", "ORG"),
        ("Thursday", "DATE"),
        ("$240 million", "MONEY"),
        ("Rotterdam", "GPE"),
        ("three years", "DATE"),
        ("Maria Jansen", "PERSON"),
        ("Netherlands", "GPE"),
        ("Germany", "GPE"),
        ("Poland", "GPE"),
        ("Bluewater Retail", "ORG"),
        ("Orion Logistics", "ORG"),
        ("September 2025", "DATE"),
        ("Meridian", "ORG"),
        ("Boston", "GPE"),
        ("1998", "DATE"),
        ("Mexico", "GPE"),
        ("China", "GPE"),
        ("$3.1 billion", "MONEY"),
        ("last year", "DATE"),
        ("Ahmed Benali", "PERSON"),
        ("Noordwind", "ORG"),
        ("Peter de Vries", "PERSON"),
        ("Jansen", "PERSON"),
    ),
)

FORM = Story(
    "form",
    "form",
    "Application for a Market Stall",
    (
        "Name of applicant | Isabel Moreno",
        "Business name | Moreno Cheese Company",
        "City and state | Santa Fe, New Mexico",
        "Telephone | 505 555 0143",
        "Goods to be sold | Goat cheese, honey, bread",
        "Requested dates | July 3 to August 28",
        "Stall size | 3 by 4 metres",
        "Fee per day | $45.00",
        "I have read the rules of the market and agree to keep them. I will be insured by Juniper "
        "Mutual for as long as the market lasts, and I will leave the square as clean as I found "
        "it. I know that the fee is not returned when it rains.",
        "Signed | Isabel Moreno",
        "Date | June 14, 2024",
        "Approved by | George Tanaka, City of Santa Fe",
    ),
    (
        ("Isabel Moreno", "PERSON"),
        ("Moreno Cheese Company", "ORG"),
        ("Santa Fe", "GPE"),
        ("New Mexico", "GPE"),
        ("July 3 to August 28", "DATE"),
        ("45.00", "MONEY"),
        ("Juniper Mutual", "ORG"),
        ("June 14, 2024", "DATE"),
        ("George Tanaka", "PERSON"),
    ),
)

STORIES = (LETTER, INVOICE, ARTICLE, REPORT, NEWS, FORM)
