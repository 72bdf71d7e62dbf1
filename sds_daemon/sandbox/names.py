"""Word lists for invented districts: people, places, subjects.

All of it is made up of common words; nothing here refers to a real person or school.
"""

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES: Final = _words(
    """
    Ada Aiko Alan Alba Alice Amara Amir Ana Anders Anja Anton Aria Arjun Asha Astrid Ava Bao Basil Bea Ben
    Bianca Bo Bruno Camila Carla Carlos Cato Chloé Clara Cleo Colin Cora Dahlia Dana Dario Della Devi Dina Dora
    Edith Eino Elena Eli Elif Elsa Emil Emma Enzo Esme Eva Ezra Farah Felix Fern Finn Flora Frida Gael Gemma
    Gita Greta Gus Hana Hana-Lee Hassan Hazel Heidi Henry Hugo Ida Igor Ilse Imani Ines Ingrid Iris Isla Ivan
    Ivy Jada Jamal Jan Jasper Joan Jonas José Juno Kai Kara Karl Kenji Kira Lars Layla Leif Lena Leo Lia Lila
    Liv Lola Lucas Luz Maeve Malik Mara Marco Maren Mateo Maya Mei Mila Mina Miro Mona Moses Nadia Naomi Nia
    Nico Nils Nina Noah Noor Nora Olga Omar Otis Otto Pablo Paula Petra Pia Priya Quinn Rafi Rania Rhea Rita
    Rohan Rosa Ruben Ruth Saga Salma Sami Sara Selma Seth Signe Sofia Soren Stella Sven Tala Tara Tariq Tess
    Theo Tilda Timo Tobias Uma Una Vera Viggo Viola Wade Wanda Willa Xavi Yara Yusuf Zadie Zane Zara Zoë
    """
)

LAST_NAMES: Final = _words(
    """
    Abara Acker Adeyemi Ahlberg Almeida Ambrose Anand Ando Arden Ashby Aziz Bach Baird Banks Barros Becker Bell
    Berg Bhatt Blythe Bose Brandt Brook Burke Byrne Cabrera Calder Carver Castro Chanda Chen Cole Cooper Costa
    Crane Cruz Dahl Dale Das Dell Diaz Dogan Doyle Drake Duarte Dunn Eaton Ekström Ellis Engel Eriksen Estrada
    Farrow Fenn Fischer Flores Fogg Forde Frost Fuchs Gallo Garner Gibbs Goto Graves Grey Gupta Haas Hadley Hale
    Hanna Hart Hayashi Healy Heath Herrera Holm Horn Hoshi Hughes Hussain Ibarra Imai Ives Jain Jansen Jarvis
    Jensen Joshi Juarez Kane Kaur Keller Khan Kidd Kim King-Ross Klein Kofi Krause Kumar Lakes Lam Lane Larsen
    Lee Leon Lindt Lopes Lund Lyon Madden Mahler Mann Marsh Mbeki Mendez Mercer Meyer Mills Mistry Moon Mora
    Moss Munro Müller Nagy Naidu Nakata Nash Neal Nguyen Noble Norberg North Novak Oakes Obi Odell Okafor Olsen
    O'Neill Ono Ortega Osei Otero Page Palmer Park Patel Peralta Perry Pike Pires Pohl Porter Prado Price Quist
    Radu Rahman Ramos Rao Reed Reyes Rhodes Rios Roth Rowe Ruiz Rush Saito Salas Sandoval Sato Sawyer Schmidt
    Shah Shaw Silva Sima Sinclair Solis Sorensen Stone Strand Suarez Sung Sutter Swift Tanaka Tate Thorne Tran
    Trevor Turner Tyler Udo Ueda Urban Vance Varga Vasquez Vega Vidal Vogel Voss Wade Walsh Ward Watts Weber
    West Wilde Winter Wolfe Wren Wu Yamada Yates Yilmaz York Young Zamora Zeller Zhang Ziegler Zuniga
    """
)

MIDDLE_NAMES: Final = _words(
    """
    Alex Blair Casey Drew Ellis Frances Gray Jude Kit Lane Lee Morgan Noel Paz Ray Robin Sky Tay
    """
)

PLACES: Final = _words(
    """
    Alder Amber Ash Aspen Bay Birch Bridge Brook Canyon Cedar Clear Clover Copper Coral Creek Crest Cypress Dale
    Eagle Elm Falcon Fern Field Forest Glen Granite Grove Harbor Hazel Heron Highland Hill Holly Iron Juniper
    Lake Lark Laurel Linden Maple Meadow Mill Oak Olive Orchard Pine Prairie Quail Ridge River Rock Rose Sage
    Shore Spring Spruce Stone Summit Valley Willow
    """
)

DIRECTIONS: Final = ("", "North", "South", "East", "West", "Upper", "Lower", "New", "Old", "Little")

SUBJECTS: Final = (
    ("Mathematics", "MA"),
    ("Language Arts", "LA"),
    ("Science", "SC"),
    ("Social Studies", "SS"),
    ("Physical Education", "PE"),
    ("Art & Music", "AM"),
    ("Health", "HE"),
    ("Computing", "CS"),
)
