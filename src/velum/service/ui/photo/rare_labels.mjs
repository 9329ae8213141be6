// @ts-check
/** Labels that few look for, in languages other than English: one word for one and for all of them. */

/** @type {Record<string, Record<string, string>>} */
export const RARE = {
  de: Object.fromEntries((
    'airplane=Flugzeug|apple=Apfel|backpack=Rucksack|banana=Banane|baseball_bat=Baseballschläger|baseball_glove=Baseballhandschuh|bear=Bär|bed=Bett|bench=Bank|bicycle=Fahrrad|'
    + 'bird=Vogel|boat=Boot|book=Buch|bottle=Flasche|bowl=Schüssel|broccoli=Brokkoli|bus=Bus|cake=Kuchen|car=Auto|carrot=Karotte|cat=Katze|cell_phone=Mobiltelefon|chair=Stuhl|clock=Uhr|'
    + 'code=QR-Code oder Strichcode|couch=Sofa|cow=Kuh|cup=Tasse|dining_table=Esstisch|dog=Hund|donut=Donut|elephant=Elefant|fire_hydrant=Hydrant|fork=Gabel|frisbee=Frisbee|giraffe=Giraffe|hair_drier=Haartrockner|'
    + 'handbag=Handtasche|horse=Pferd|hot_dog=Hotdog|keyboard=Tastatur|kite=Drachen|knife=Messer|laptop=Laptop|microwave=Mikrowelle|motorcycle=Motorrad|mouse=Computermaus|orange=Orange|oven=Ofen|parking_meter=Parkuhr|'
    + 'pizza=Pizza|potted_plant=Topfpflanze|refrigerator=Kühlschrank|remote=Fernbedienung|sandwich=Sandwich|scissors=Schere|screen=Bildschirm|sheep=Schaf|sink=Waschbecken|skateboard=Skateboard|skis=Ski|snowboard=Snowboard|'
    + 'spoon=Löffel|sports_ball=Ball|stop_sign=Stoppschild|suitcase=Koffer|surfboard=Surfbrett|teddy_bear=Teddybär|tennis_racket=Tennisschläger|tie=Krawatte|toaster=Toaster|toilet=Toilette|toothbrush=Zahnbürste|'
    + 'traffic_light=Ampel|train=Zug|truck=Lastwagen|tv=Bildschirm|umbrella=Schirm|vase=Vase|wine_glass=Weinglas|zebra=Zebra'
  ).split('|').map((pair) => pair.split('='))),
};
